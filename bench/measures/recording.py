"""What the metrics cost: the service beside itself without them, and the calls alone."""

from __future__ import annotations

import time
from collections.abc import Callable

from bench.bench import YARDSTICK_CONNECTIONS, Bench
from bench.generator import Result
from bench.measures import read
from bench.report import Column, Report, Target, ratio
from tornado_app.http.cors import Cors
from tornado_app.http.dispatcher import Dispatcher
from tornado_app.http.messages import Router
from tornado_app.observability.metrics import Metrics

HOW = """\
Reads of the top 10 and score updates as in the benchmarks of these, 64 connections: by the service, and by the same
service with no-op metrics (`bench/peers/unmetered.py`). `× without` is the server's CPU for a request, with metrics ÷
without, in one round, including the listener of MongoDB's commands and all noise of the machine. `calls alone` are the
calls for one request, in a loop, as a part of the CPU of a request of that round; an update is assumed to be alone in
its batch."""

COLUMNS = (
    Column("per_second", "requests/s", 0),
    Column("cpu", "server µs"),
    Column("ratio", "× without", 3),
    Column("calls", "calls alone µs", 2),
    Column("share", "calls alone %", 2),
)

WITH, WITHOUT = "with metrics", "without"
READS, WRITES = "reads", "updates"
CALLS = 20_000


def run(bench: Bench) -> Report:
    """Alternating."""
    players = bench.pick(30_000, 1500)
    connections = bench.pick(YARDSTICK_CONNECTIONS, 4)
    targets = [
        Target(f"{kind}: {text}, at most 3%", row(kind, WITH), column, bound)
        for kind in (READS, WRITES)
        for text, column, bound in (("all", "ratio", 1.03), ("the calls alone", "share", 3))
    ]
    report = Report("Recording metrics", HOW, COLUMNS, targets)
    found: dict[tuple[int, str, str], Result] = {}
    with bench.stage() as stage:
        services = {WITH: stage.service(players), WITHOUT: stage.service(players, module="bench.peers.unmetered")}
        systems = {name: bench.played(service, players) for name, service in services.items()}
        for number, (name, system) in bench.turns(list(systems.items())):
            rate = bench.pick(read.RATE, read.SMOKE_RATE)
            found[number, READS, name] = bench.read(system, read.PATH, connections=connections, rate=rate)
        for number, (name, system) in bench.turns(list(systems.items())):  # whose ledgers would write on during reads
            found[number, WRITES, name] = bench.write(system, connections=connections)
    for number in range(bench.rounds):
        for kind, calls in recorded(Metrics()).items():
            pair = {name: found[number, kind, name] for name in (WITH, WITHOUT)}
            if report.saw(*pair.values()):
                _add(report, kind, pair, _microseconds(calls))
    return report


def recorded(metrics: Metrics) -> dict[str, Callable[[], None]]:
    """What a read and an update record."""
    dispatcher = Dispatcher(Router([]), metrics=metrics, cors=Cors())
    accepted = metrics.submissions.labels("A", "accepted")
    points = metrics.points.labels("A")

    def reading() -> None:
        dispatcher.count("GET", read.PATH, 200, 0.002, "0123456789-1f")

    def updating() -> None:
        dispatcher.count("POST", "/api/score", 200, 0.02, "0123456789-1f")
        accepted.inc()
        points.inc(5)
        metrics.batch_size.observe(1)
        for command in ("update", "find"):
            metrics.command(command, 0.005)

    return {READS: reading, WRITES: updating}


def _microseconds(calls: Callable[[], None]) -> float:
    """CPU of one call."""
    began = time.thread_time()
    for _ in range(CALLS):
        calls()
    return (time.thread_time() - began) / CALLS * 1e6


def _add(report: Report, kind: str, pair: dict[str, Result], calls: float) -> None:
    bare = pair[WITHOUT].group_cpu_us("server")
    for name, result in pair.items():
        cpu = result.group_cpu_us("server")
        figures = {"per_second": result.raw["per_second"], "cpu": cpu, "ratio": ratio(cpu, bare)}
        if name == WITH:
            figures |= {"calls": calls, "share": 100 * ratio(calls, cpu)}
        report.add(row(kind, name), **figures)


def row(kind: str, name: str) -> str:
    """The row's name."""
    return f"{kind} {name}"
