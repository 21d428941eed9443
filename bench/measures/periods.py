"""Score updates on a board without periods, with one, and with three."""

from __future__ import annotations

from bench.bench import YARDSTICK_CONNECTIONS, Bench
from bench.generator import Result
from bench.report import Column, Report, ratio
from bench.systems import System

HOW = """\
`POST /api/score` as in Score updates, 64 connections, closed loop, by three services on a MongoDB each: the board has
no period, one, or three (`weekly` and `daily` by cron, `season` ended by hand). No epoch ends meanwhile. `× without`
compares with the board without periods in the same round: rate, CPU of service and of mongod for an update, p50 and
p99. `oplog B` is the size of the update's entry."""

COLUMNS = (
    Column("per_second", "updates/s", 0),
    Column("rate", "× without", 2),
    Column("server", "server µs", 0),
    Column("serverratio", "× without", 2),
    Column("mongod", "mongod µs", 0),
    Column("mongodratio", "× without", 2),
    Column("p50", "p50 ms", 1),
    Column("p50ratio", "× without", 2),
    Column("p99", "p99 ms", 1),
    Column("p99ratio", "× without", 2),
    Column("oplog", "oplog B", 0),
)

PERIODS = {"weekly": {"cron": "0 0 * * MON"}, "daily": {"cron": "0 0 * * *"}, "season": {}}
COUNTS = {"no period": 0, "one period": 1, "three periods": 3}
WITHOUT = next(iter(COUNTS))


def run(bench: Bench) -> Report:
    """Alternating."""
    players, connections = bench.pick((20_000, YARDSTICK_CONNECTIONS), (300, 4))
    report = Report("Periods", HOW, COLUMNS)
    with bench.stage() as stage:
        systems = {
            name: bench.played(stage.service(players, periods=dict(list(PERIODS.items())[:count])), players)
            for name, count in COUNTS.items()
        }
        for results in bench.alternating(systems, connections=connections):
            if report.saw(*results.values()):
                for name, result in results.items():
                    report.add(name, **_figures(result, results[WITHOUT]))
        for name, system in systems.items():
            report.add(name, oplog=_oplog(bench, report, system, connections))
    return report


def _figures(result: Result, without: Result) -> dict[str, float]:
    figures = {
        "per_second": result.raw["per_second"],
        "rate": ratio(result.raw["per_second"], without.raw["per_second"]),
    }
    for group in ("server", "mongod"):
        cpu = result.group_cpu_us(group)
        figures |= {group: cpu, f"{group}ratio": ratio(cpu, without.group_cpu_us(group))}
    for quantile in ("p50", "p99"):
        latency = result.latency(quantile)
        figures |= {quantile: latency, f"{quantile}ratio": ratio(latency, without.latency(quantile))}
    return figures


def _oplog(bench: Bench, report: Report, system: System, connections: int) -> float:
    assert system.base is not None
    before = system.base.now()
    report.saw(bench.write(system, connections=connections))
    return system.base.oplog_entry_sizes(before)["players"]
