"""How many processes a machine of some cores is best given, where each does everything, and what they come to.

Each update costs ANSWER in the process that answers it, LEDGER in the one that writes the ledger, MONGOD in mongod, and
STREAM there for the change stream. One process follows it for EVENT. Of several, the supervisor follows it for RELAY,
and each of them for RELAYED. A player's updates come through any of p processes, so all but one in p go the long way,
which costs LONG_ANSWER and LONG_MONGOD more. So p processes end where the machine's cores do, or where the process with
the ledger does: it follows, and answers its share, as the others.
"""

from __future__ import annotations

from bench.simulate.partitions import EVENT

ANSWER, LEDGER, MONGOD, STREAM = 0.000088, 0.000024, 0.000115, 0.000024
"""Seconds of one core: the costs s, l, m and c of docs/scaling.md, which says where they are from."""

RELAY, RELAYED = 0.000032, 0.000025
"""Seconds of one core: the costs g and r."""

LONG_ANSWER, LONG_MONGOD = 0.000025, 0.000035
"""Seconds more where the process does not know the player: the rules go into the filter, and it is read back."""


def capacity(cores: int, processes: int) -> float:
    """Updates a second that so many processes and their mongod come to on so many cores."""
    long = 1 - 1 / processes
    answer, mongod = ANSWER + long * LONG_ANSWER, MONGOD + long * LONG_MONGOD
    event, relay = (EVENT, 0.0) if processes == 1 else (RELAYED, RELAY)
    machine = cores / (answer + LEDGER + mongod + STREAM + relay + processes * event)
    fullest = 1 / (answer / processes + LEDGER + event)
    return min(machine, fullest)


def best(cores: int) -> int:
    """The number of processes that comes to most; more than two for each core never do."""
    return max(range(1, 2 * cores + 1), key=lambda processes: capacity(cores, processes))


def table() -> str:
    """One core to thirty-two."""
    lines = ["| cores | processes | updates/s | of it 70% | each core's |", "|---:|---:|---:|---:|---:|"]
    for cores in (1, 2, 4, 8, 16, 32):
        processes = best(cores)
        found = capacity(cores, processes)
        lines.append(f"| {cores} | {processes} | {found:,.0f} | {0.7 * found:,.0f} | {found / cores:,.0f} |")
    return "\n".join(lines)
