"""`python -m tests.endurance.soak 2h`: hours at half of what the service can do, and whether anything grows.

`python -m tests.endurance.soak 2m 2 3000` is two minutes at twice what it can do, over 3,000 connections.

Service and mongod run on one core, the load generator of the benchmarks on another. 500 sockets, new ones each minute,
watch a leader who changes ten times a second. In the first minute a closed loop beside them finds the capacity; from
then on score updates come at that part of it in an open loop. Prints a line of CSV for each minute. At the end the
players' points must be what was acknowledged, every chain of the ledger whole, and the top 10 shown the database's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace

from bench.bench import Bench
from bench.database import DATABASE, Database
from bench.generator import Generator, Result
from bench.processes import START_SECONDS, Cores, python, until
from bench.systems import System
from tests.endurance.environment import open_files
from tornado_app.config.value_types import parse_duration
from tornado_app.mongo.players.documents import BOARD_ORDER, ON_BOARD

MINUTE = 60.0
CONNECTIONS = 64
REFUSALS = {"429", "503"}
"""Statuses that say that an update does not count."""

SOCKETS, LEADERS, CHANGES = 500, 200, 10.0
PLAYERS = 30_000
"""Enough for the rate limit at 5,000 updates a second."""

COLUMNS = (
    "second", "updates_per_s", "refused", "unclear", "p50_ms", "p99_ms", "live_p50_ms", "live_p99_ms", "loop_ms",
    "lag_s", "service_mib", "mongod_mib", "sockets", "descriptors", "service_cpu", "mongod_cpu", "others_cpu",
)  # fmt: skip
"""`live` is from an update's scheduled send to each socket. `loop` is how late a timer of the service was at worst, and
`lag` that of its change stream. Sockets and descriptors are counted half-way through a minute, memory at its end. CPU
is in cores; that of others is what the machine did beside."""


@dataclass(frozen=True)
class Tolerant(Bench):
    """A bench that keeps account of what is refused, by the points it was to bring, where others give up.

    `unclear` are updates that may count or not: the response was an error or never came.
    """

    refused: list[int] = field(default_factory=list)
    unclear: list[int] = field(default_factory=list)

    def _checked(self, system: System, result: Result, refusals: bool = False) -> Result:
        system.turn = int(result.raw["next"])
        points = LEADERS if "messages" in result.raw else 1
        statuses = result.raw["refused"]
        refused = sum(count for status, count in statuses.items() if status in REFUSALS)
        self.refused.append(points * refused)
        self.unclear.append(points * (sum(statuses.values()) - refused + result.raw["errors"]))
        return result


def main(length: str, part: str = "0.5", connections: str = "64") -> int:
    """Run for so long; the exit code."""
    seconds = parse_duration(length)
    cores = Cores.of_this_machine()
    bench = Tolerant(1, MINUTE, cores, Generator.build(cores.generator))
    with bench.stage() as stage:
        leaders = stage.service(LEADERS)
        crowd = stage.others(leaders, PLAYERS)
        before = points_of(leaders)
        capacity = one_minute(bench, leaders, crowd, CONNECTIONS, 0.0)["updates_per_s"]
        sys.stderr.write(f"the capacity is {capacity:.0f} updates/s\n")
        say(COLUMNS)
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            figures = one_minute(bench, leaders, crowd, int(connections), capacity * float(part))
            figures["second"] = time.monotonic() - began
            say([f"{figures[name]:.5g}" for name in COLUMNS])
        most = before + crowd.turn + leaders.turn * LEADERS - sum(bench.refused)
        wrong = list(odd(leaders, most - sum(bench.unclear), most))
    sys.stderr.write("\n".join(wrong or [f"{crowd.turn + leaders.turn} updates, none lost, none doubled"]) + "\n")
    return int(bool(wrong))


def one_minute(bench: Tolerant, leaders: System, crowd: System, connections: int, rate: float) -> dict[str, float]:
    """Updates at a rate, or with 0 as fast as they go, and listeners, for a minute; the figures of COLUMNS."""
    minute = replace(bench, seconds=MINUTE - 2 * bench.warmup)
    leaders.metric("leaderboard_event_loop_lag_seconds")  # a look begins a new worst
    half = time.monotonic() + MINUTE / 2
    with ThreadPoolExecutor(2) as pool:
        watching = pool.submit(minute.watch, leaders, subscribers=SOCKETS, rate=CHANGES, players=LEADERS)
        writing = pool.submit(minute.write, crowd, connections=connections, rate=rate)
        wait([watching, writing], timeout=half - time.monotonic())
        sockets = leaders.metric("leaderboard_websocket_connections")
        descriptors = open_files(leaders.groups["server"])
        live, wrote = watching.result(), writing.result()
    seconds, cpu, memory = wrote.raw["seconds"], wrote.raw["cpu_seconds"], wrote.raw["rss_bytes"]
    return {
        "updates_per_s": wrote.raw["took"] / seconds,
        "refused": sum(bench.refused[-2:]),
        "unclear": sum(bench.unclear[-2:]),
        "p50_ms": wrote.latency("p50"),
        "p99_ms": wrote.latency("p99"),
        "live_p50_ms": live.latency("p50"),
        "live_p99_ms": live.latency("p99"),
        "loop_ms": leaders.metric("leaderboard_event_loop_lag_seconds") * 1000,
        "lag_s": leaders.metric("leaderboard_change_stream_lag_seconds"),
        "service_mib": memory["server"] / 2**20,
        "mongod_mib": memory["mongod"] / 2**20,
        "sockets": sockets,
        "descriptors": descriptors,
        "service_cpu": cpu["server"] / seconds,
        "mongod_cpu": cpu["mongod"] / seconds,
        "others_cpu": wrote.raw["others_share"],
    }


def points_of(system: System) -> int:
    """All points of all players in the database."""
    with database_of(system).client() as client:
        (found,) = client[DATABASE]["players"].aggregate([{"$group": {"_id": None, "points": {"$sum": "$score"}}}])
        return int(found["points"])


def odd(system: System, least: int, most: int) -> Iterator[str]:
    """Faults after all writes; `least` and `most` limit the points in the database."""
    there = points_of(system)
    if not least <= there <= most:
        yield f"there are {there} points, and should be {least} to {most}"
    for _ in until(START_SECONDS, "the top 10 shown is that of the database"):
        if top_shown(system) == top_kept(system):
            break
    yield from audited(system)


def audited(system: System) -> Iterator[str]:
    """The differences that `leaderboard audit` reports; its messages go to stderr."""
    environment = {"LEADERBOARD_MONGODB_URI": database_of(system).uri, "LEADERBOARD_MONGODB_DATABASE": DATABASE}
    audit = subprocess.run(
        python("tornado_app", "audit"), env=os.environ | environment, capture_output=True, text=True, check=False
    )
    sys.stderr.write(audit.stdout)
    if audit.returncode:
        yield f"the audit failed: {audit.stderr}"


def top_shown(system: System) -> list[int]:
    """The scores of the top 10 as the service answers them."""
    with urllib.request.urlopen(f"{system.url}/api/top-scores", timeout=10) as answer:
        return [row["score"] for row in json.load(answer)["top_scores"]]


def top_kept(system: System) -> list[int]:
    """The scores of the top 10 in the database."""
    with database_of(system).client() as client:
        found = client[DATABASE]["players"].find(ON_BOARD, {"score": 1}).sort(BOARD_ORDER).limit(10)
        return [player["score"] for player in found]


def database_of(system: System) -> Database:
    """The MongoDB behind the service."""
    assert system.base is not None
    return system.base


def say(cells: Iterable[str]) -> None:
    """Print a line of the table at once."""
    sys.stdout.write(",".join(cells) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
