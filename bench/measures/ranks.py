"""Row 7: the rank of a player, and how long a start takes with a million of them."""

from __future__ import annotations

import json
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.bench import Bench
from bench.database import DATABASE, Database, player
from bench.peers import redis
from bench.processes import Failed, python, tie
from bench.rank_probe import scores_of
from bench.report import Column, Report, Target
from bench.systems import READY, Stage

HOW = """\
The rank of a score among many, competition rank (1, 2, 2, 4): in the service's memory, by MongoDB's `count_documents`
on an index, and by Redis's `ZREVRANK`, which gives equal scores different ranks. The last two include a round trip on
loopback, as in use. The service's ranks are compared with a count of all scores first.

From start to ready: `leaderboard serve` on a database of a million players, until its line `leaderboard ready`."""

COLUMNS = (
    Column("rank", "µs a rank", 1),
    Column("move", "µs an update", 1),
    Column("mib", "MiB", 0),
    Column("build", "s to build or start", 2),
)

MILLION = 1_000_000
SERVICE, MONGODB, REDIS, START = "in the service", "count_documents", "Redis ZREVRANK", "start to ready"
MONGODB_ASKED, REDIS_ASKED = 20, 2000


def run(bench: Bench) -> Report:
    """Each size in turn; MongoDB and Redis up to a million, which takes them long enough to load."""
    sizes = bench.pick((10_000, MILLION, 10 * MILLION), (1000, 10_000))
    large = bench.pick(MILLION, 1000)
    targets = [
        Target(f"rank at {sizes[-1]:,}, at most 20 µs", row(SERVICE, sizes[-1]), "rank", 20.0),
        Target(f"start to ready at {large:,}, at most 3 s", row(START, large), "build", 3.0),
    ]
    report = Report("Ranks", HOW, COLUMNS, targets)
    for size in sizes:
        _ours(bench, report, size)
    for size in [size for size in sizes if size <= large]:
        _redis(bench, report, size)
        with bench.stage() as stage:
            base = _loaded(stage, size)
            _mongodb(bench, report, base, size)
            if size == large:
                _start(bench, report, stage, base, size)
    return report


def _ours(bench: Bench, report: Report, size: int) -> None:
    done = subprocess.run(
        python("bench.rank_probe", str(size), str(bench.rounds)), capture_output=True, text=True, check=False,
        preexec_fn=lambda: tie(bench.cores.server),
    )  # fmt: skip
    if done.returncode != 0:
        raise Failed(f"the ranks could not be timed: {done.stderr}")
    found = json.loads(done.stdout)
    if found["wrong"]:
        raise Failed(f"{found['wrong']} ranks among {size:,} players were wrong")
    for rank, move in zip(found["rank_us"], found["move_us"], strict=True):
        report.add(row(SERVICE, size), rank=rank, move=move)
    report.add(row(SERVICE, size), mib=found["mib"], build=found["build_seconds"])


def _redis(bench: Bench, report: Report, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder, redis.running(Path(folder), bench.cores.server) as server:
        if server is None:
            report.add(row(REDIS, size))
            report.notes.append("Redis: not measured, as there is no redis-server (Debian: apt-get install it)")
            return
        began = time.perf_counter()
        server.fill({player(number): score for number, score in enumerate(scores_of(size))})
        report.add(row(REDIS, size), build=time.perf_counter() - began)
        for number in range(bench.rounds):
            players = [player(n) for n in random.Random(number).choices(range(size), k=REDIS_ASKED)]
            report.add(row(REDIS, size), rank=_each_us(server.rank, players))


def _mongodb(bench: Bench, report: Report, base: Database, size: int) -> None:
    with base.client() as client:
        players = client[DATABASE]["players"]
        scores = [document["score"] for document in players.aggregate([{"$sample": {"size": MONGODB_ASKED}}])]
        for _ in range(bench.rounds):
            asking = _each_us(lambda score: players.count_documents({"score": {"$gt": score}}), scores)
            report.add(row(MONGODB, size), rank=asking)


def _each_us(ask: Callable[[Any], object], questions: list[Any]) -> float:
    began = time.perf_counter()
    for question in questions:
        ask(question)
    return (time.perf_counter() - began) / len(questions) * 1e6


def _loaded(stage: Stage, size: int) -> Database:
    base = stage.mongodb()
    base.load(_players(size))
    return base


def _players(size: int) -> Iterator[dict[str, Any]]:
    moment = datetime.now(UTC)
    for number, score in enumerate(scores_of(size)):
        yield {"_id": player(number), "score": score, "updatedAt": moment}


def _start(bench: Bench, report: Report, stage: Stage, base: Database, size: int) -> None:
    for _ in range(bench.rounds):
        began = time.perf_counter()
        with stage.service_process(base) as program:
            program.wait_for(READY)
            report.add(row(START, size), build=time.perf_counter() - began)


def row(name: str, size: int) -> str:
    """The row's name."""
    return f"{name}, {size:,} players"
