"""Row 9: score updates at twice the capacity."""

from __future__ import annotations

from dataclasses import replace

from bench.bench import Bench
from bench.generator import Result
from bench.report import Column, Report, Target, ratio

HOW = """\
`POST /api/score` as in Score updates, in an open loop at twice the rate that a closed loop with 256 connections
reached just before. Goodput is the accepted part of that capacity: updates answered within the measured time. The rest
is refused, with 503 and Retry-After. Times count from the sending of a request, not from its schedule: so few
connections cannot send all requests of an open loop while they wait for answers."""

COLUMNS = (
    Column("goodput", "goodput, of capacity", 2),
    Column("accepted", "accepted/s", 0),
    Column("p50", "p50 ms", 0),
    Column("p99", "p99 ms", 0),
    Column("refused", "refused/s", 0),
    Column("refusedp50", "p50 ms", 0),
    Column("refusedp99", "p99 ms", 0),
    Column("failed", "neither", 0),
)

TIMES = 2.0
CAPACITY_CONNECTIONS = 256
SECONDS = 10.0
"""Long enough for a queue to build up, and to be lived with."""


def run(bench: Bench) -> Report:
    """Each number of connections in each round, and the capacity before and after."""
    crowds = bench.pick((1500, 3000, 8000), (64,))
    targets = [
        Target(f"goodput over {n:,} connections, at least 0.8", row(n), "goodput", 0.8, least=True) for n in crowds
    ]
    report = Report("Overload", HOW, COLUMNS, targets)
    long = replace(bench, seconds=bench.pick(max(SECONDS, bench.seconds), bench.seconds))
    with bench.stage() as stage:
        service = stage.service(bench.pick(60_000, 600))
        for _ in range(bench.rounds):
            for connections in crowds:
                full = bench.write(service, connections=bench.pick(CAPACITY_CONNECTIONS, 8))
                capacity = full.raw["per_second"]
                result = long.write(service, connections=connections, rate=TIMES * capacity, refusals=True)
                if not report.saw(full, result):
                    continue
                accepted = result.raw["took"] / result.raw["seconds"]
                others = {status: count for status, count in result.raw["refused"].items() if status != "503"}
                report.add(
                    row(connections), goodput=ratio(accepted, capacity), accepted=accepted,
                    refused=result.raw["turned_away"] / result.raw["seconds"],
                    failed=sum(others.values()) + result.raw["errors"],
                    **_times(result, "", "took_ms"), **_times(result, "refused", "turned_away_ms"),
                )  # fmt: skip
    return report


def row(connections: int) -> str:
    """The row's name."""
    return f"{connections:,} connections"


def _times(result: Result, prefix: str, kind: str) -> dict[str, float]:
    return {f"{prefix}{quantile}": result.latency(quantile, kind) for quantile in ("p50", "p99")}
