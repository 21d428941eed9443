"""Row 8: latency of score updates at parts of the capacity."""

from __future__ import annotations

from bench.bench import Bench
from bench.generator import Result
from bench.report import Column, Report

HOW = """\
`POST /api/score` as in Score updates, open loop with 64 connections: requests are sent at a fixed rate, also if
earlier answers are late, and latency counts from the scheduled send. The rates are parts of the rate that the same
round's closed loop with 64 connections reached."""

COLUMNS = (
    Column("rate", "updates/s", 0),
    Column("p50", "p50 ms", 2),
    Column("p90", "p90 ms", 2),
    Column("p99", "p99 ms", 2),
    Column("p999", "p99.9 ms", 2),
    Column("late", "sent late, p99 ms", 2),
)

PARTS = (0.5, 0.7, 0.9)
CONNECTIONS = 64


def run(bench: Bench) -> Report:
    """Capacity and the three rates in each round."""
    report = Report("Latency of score updates under load", HOW, COLUMNS)
    connections = bench.pick(CONNECTIONS, 8)
    with bench.stage() as stage:
        players = bench.pick(30_000, 1500)
        service = bench.played(stage.service(players), players)
        for _ in range(bench.rounds):
            full = bench.write(service, connections=connections)
            if not report.saw(full):
                continue
            capacity = full.raw["per_second"]
            report.add("closed loop", rate=capacity, **_latencies(full))
            for part in PARTS:
                result = bench.write(service, connections=connections, rate=capacity * bench.pick(part, part / 5))
                if report.saw(result):
                    figures = {"rate": result.raw["per_second"], "late": result.latency("p99", "sent_late_ms")}
                    report.add(f"{part:.0%} of capacity", **figures, **_latencies(result))
    return report


def _latencies(result: Result) -> dict[str, float]:
    return {quantile: result.latency(quantile) for quantile in ("p50", "p90", "p99", "p999")}
