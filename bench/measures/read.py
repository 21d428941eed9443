"""Row 2: the top 10, beside fixed bytes."""

from __future__ import annotations

from bench.bench import YARDSTICK_CONNECTIONS, Bench
from bench.report import Column, Report, Target, ratio

HOW = """\
`GET /api/top-scores` of 10 players, 64 connections, at 15,000/s: in a closed loop, at about three times this rate, the
load generator would be the limit. The peer is a Tornado handler that answers as many fixed bytes and does nothing
else, in a closed loop: its CPU for one request is the yardstick U."""

COLUMNS = (
    Column("per_second", "requests/s", 0),
    Column("cpu", "server µs", 0),
    Column("units", "CPU in U", 2),
    Column("p50", "p50 ms", 2),
    Column("p99", "p99 ms", 2),
)

SERVICE, BARE = "this service", "bare Tornado handler"
PATH = "/api/top-scores"
PLAYERS = 100
RATE, SMOKE_RATE = 15_000.0, 200.0
"""Requests a second of the service."""


def run(bench: Bench) -> Report:
    """Alternating."""
    connections = bench.pick(YARDSTICK_CONNECTIONS, 4)
    report = Report("Reading the top 10", HOW, COLUMNS, [Target("CPU, at most 1.2 U", SERVICE, "units", 1.2)])
    with bench.stage() as stage:
        service = stage.service(PLAYERS)
        bare = stage.bare()
        found = {}
        rate = bench.pick(RATE, SMOKE_RATE)
        for number, (system, path, wanted) in bench.turns([(service, PATH, rate), (bare, "/", 0.0)]):
            found[number, path] = bench.read(system, path, connections=connections, rate=wanted)
        for number in range(bench.rounds):
            mine, theirs = found[number, PATH], found[number, "/"]
            if not report.saw(mine, theirs):
                continue
            for name, result in ((SERVICE, mine), (BARE, theirs)):
                cpu = result.group_cpu_us("server")
                report.add(
                    name, per_second=result.raw["per_second"], cpu=cpu, units=ratio(cpu, theirs.group_cpu_us("server")),
                    p50=result.latency("p50"), p99=result.latency("p99"),
                )  # fmt: skip
    return report
