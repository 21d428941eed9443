"""The processes, cores, memory and disk that a load needs, and what a machine of some cores reaches.

Each update costs ANSWER in the process that answers it, LEDGER in the one that writes the ledger, MONGOD in mongod, and
STREAM there for the change stream. One process follows it for EVENT. Of several, the supervisor follows it for RELAY,
and each of them for RELAYED. So p processes end where the machine's cores do, or where the process with the ledger
does: it follows, and answers its share, as the others.
"""

from __future__ import annotations

import math

from bench.simulate.partitions import EVENT

ANSWER, LEDGER, MONGOD, STREAM = 0.000082, 0.000011, 0.000091, 0.000024
"""Seconds of one core: the costs s, l, m and c of docs/scaling.md, which says where they are from."""

RELAY, RELAYED = 0.000032, 0.000030
"""Seconds of one core: the costs g and r."""

MESSAGE, MESSAGES_PER_SECOND = 0.000008, 10
"""Seconds of one core for a message to a socket, d, and the messages of a socket while the top 10 changes."""

PROCESS_MIB, CACHED_PLAYER_MIB, MAX_CACHE_MIB, SOCKET_MIB = 115, 0.0017, 64, 13.7 / 1024
"""Memory of a process without players, of each active player in its cache up to a maximum, and of a socket."""

OPLOG_BYTES, LEDGER_BYTES = 910, 204
"""Of an update with its ledger entry in the oplog, and of the entry on disk."""

LONE, MANY = 0.0023, 220
"""Seconds of one core that an update alone costs, in the service and, less a sixth, in mongod; from so many updates a
second on they share batches, and the total grows no more until each costs its share."""

FULL = 0.7
"""The part of a core that is planned with."""

UPDATES_PER_PLAYER = 1 / 20
"""A second: three a minute, where ten are allowed."""

HEADS = (
    "active players", "updates/s", "sockets", "processes", "CPU, cores", "memory, GiB", "MongoDB: CPU, cores",
    "oplog, GB/h", "ledger, GB/day",
)  # fmt: skip

LOADS = ((1_000, 1_000), (10_000, 10_000), (40_000, 20_000), (100_000, 100_000), (200_000, 50_000))
"""Active players and sockets."""


def capacity(cores: int, processes: int) -> float:
    """Updates a second that so many processes and their mongod reach on so many cores."""
    event, relay = (EVENT, 0.0) if processes == 1 else (RELAYED, RELAY)
    machine = cores / (ANSWER + LEDGER + MONGOD + STREAM + relay + processes * event)
    fullest = 1 / (ANSWER / processes + LEDGER + event)
    return min(machine, fullest)


def best(cores: int) -> int:
    """The number of processes that reaches most; more than two for each core never do."""
    return max(range(1, 2 * cores + 1), key=lambda processes: capacity(cores, processes))


def table() -> str:
    """One core to thirty-two."""
    lines = ["| cores | processes | updates/s | of it 70% | each core's |", "|---:|---:|---:|---:|---:|"]
    for cores in (1, 2, 4, 8, 16, 32):
        processes = best(cores)
        found = capacity(cores, processes)
        lines.append(f"| {cores} | {processes} | {found:,.0f} | {FULL * found:,.0f} | {found / cores:,.0f} |")
    return "\n".join(lines)


def needed(updates: float, sockets: int) -> int:
    """The least number of processes of which each is at most `FULL`."""
    processes = 1
    while fullest(updates, sockets, processes) > FULL:
        processes += 1
    return processes


def fullest(updates: float, sockets: int, processes: int) -> float:
    """The cores that the process with the ledger uses."""
    event = EVENT if processes == 1 else RELAYED
    sending = sockets * MESSAGES_PER_SECOND * MESSAGE
    return updates * (LEDGER + event) + (updates * ANSWER + sending) / processes


def sizing() -> str:
    """What some loads need."""
    lines = [f"| {' | '.join(HEADS)} |", "|---:" * len(HEADS) + "|"]
    for players, sockets in LOADS:
        updates = players * UPDATES_PER_PLAYER
        processes = needed(updates, sockets)
        event, relay = (EVENT, 0.0) if processes == 1 else (RELAYED, RELAY)
        lone = min(updates, MANY) * LONE
        cpu = max(lone, updates * (ANSWER + LEDGER + relay + processes * event))
        cpu += sockets * MESSAGES_PER_SECOND * MESSAGE
        cache = min(MAX_CACHE_MIB, players * CACHED_PLAYER_MIB)
        memory = processes * (PROCESS_MIB + cache) + sockets * SOCKET_MIB
        mongod = max(lone * 5 / 6, updates * (MONGOD + STREAM))
        lines.append(
            f"| {players:,} | {updates:,.0f} | {sockets:,} | {processes} | {_up(cpu)} | {_up(memory / 1024)} |"
            f" {_up(mongod)} | {updates * OPLOG_BYTES * 3600 / 1e9:.1f} | {updates * LEDGER_BYTES * 86400 / 1e9:.1f} |"
        )
    return "\n".join(lines)


def _up(number: float) -> str:
    """To one decimal, upwards."""
    return f"{math.ceil(10 * number) / 10:.1f}"
