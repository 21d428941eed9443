"""Score updates and reads beside Nakama on PostgreSQL."""

from __future__ import annotations

from bench.bench import YARDSTICK_CONNECTIONS, Bench
from bench.generator import Result
from bench.measures import read, write
from bench.peers import nakama
from bench.report import Column, Report, Target, ratio
from bench.systems import System

TIMES = 4
"""As often as Nakama's is the top 10 of this service read, whose CPU for it is a ninth."""

HOW = f"""\
`POST /api/score` as in Score updates, and `POST {nakama.PATH}` of Nakama, on a leaderboard of operator `incr`, with
a session for each player (`bench/peers/nakama.py`): closed loop, equally many players, who take turns. Each
acknowledged score is on disk in both: MongoDB by majority and journal, PostgreSQL by `fsync` and `synchronous_commit`.
Nakama gives no exactly-once, exact limits, ledger or push.

Server and database share one core, or two, of which the load generator uses a part of one. CPU is that of both, for
each accepted request. `× Nakama` is the ratio of the rates in one round; `better of both` is that of one and two
processes. The top 10 is read in a closed loop from Nakama, and at {TIMES} times that rate from this service: there
`× Nakama` is Nakama's CPU for a read ÷ this service's. `oplog B` is the size of an entry, of players with as many
remembered actions as the default limit keeps."""

COLUMNS = (
    Column("per_second", "requests/s", 0),
    Column("server", "server µs", 0),
    Column("database", "database µs", 0),
    Column("units", "CPU in U", 2),
    Column("p50", "p50 ms", 2),
    Column("p99", "p99 ms", 2),
    Column("ratio", "× Nakama", 2),
    Column("process", "× one process", 2),
    Column("oplog", "oplog B", 0),
)

SERVICE, NAKAMA = "this service", "Nakama"
ONE, TWO, BETTER = "1 process", "2 processes", "better of both"
UPDATE, ENTRY = "an update in the oplog", "its ledger entry in the oplog"
CONNECTIONS = (1, 16, 64, 256)
SOME, MANY = 64, 256
NAKAMA_TOP = f"{nakama.PATH}?limit=10"

LEAST = {1: 0.6, 16: 0.8, 64: 1.0, 256: 1.2}
"""× Nakama, on one core, by connections."""


def run(bench: Bench) -> Report:
    """Alternating: on one core, then on two."""
    connections, some, many = bench.pick((CONNECTIONS, SOME, MANY), ((1, 4), 4, 4))
    report = Report("Nakama", HOW, COLUMNS, _targets(connections, some, many))
    players = bench.pick(20_000, 600)
    with bench.stage() as stage:
        systems = {NAKAMA: stage.nakama(players), SERVICE: stage.service(players)}
        bare = stage.bare()
        units = [bench.yardstick(bare) for _ in range(bench.rounds)]
        for system in systems.values():
            bench.played(system, players)
        _updates(bench, report, systems, connections, units, "1 core")
        _reads(bench, report, systems, units)
        _oplog(bench, report, systems[SERVICE], some)
    with bench.stage(all_cores=True) as stage:
        systems = {NAKAMA: stage.nakama(players), ONE: stage.service(players)}
        systems[TWO] = stage.service(players, flags=("--processes", "2"))
        for system in systems.values():
            bench.played(system, players)
        _updates(bench, report, systems, connections, units, "2 cores")
    report.notes += [nakama.versions(), f"U: {min(units):.0f} to {max(units):.0f} µs"]
    return report


def _updates(
    bench: Bench, report: Report, systems: dict[str, System], connections: tuple[int, ...], units: list[float],
    cores: str,
) -> None:  # fmt: skip
    for count in connections:
        for unit, results in zip(units, bench.alternating(systems, connections=count), strict=True):
            if not report.saw(*results.values()):
                continue
            rates = {name: result.raw["per_second"] for name, result in results.items()}
            for name, result in results.items():
                figures = _figures(result, unit) | {"ratio": ratio(rates[name], rates[NAKAMA])}
                if ONE in rates and name == TWO:
                    figures["process"] = ratio(rates[TWO], rates[ONE])
                report.add(row(name, count, cores), **figures)
            if ONE in rates:
                report.add(row(BETTER, count, cores), ratio=ratio(max(rates[ONE], rates[TWO]), rates[NAKAMA]))


def _reads(bench: Bench, report: Report, systems: dict[str, System], units: list[float]) -> None:
    connections = bench.pick(YARDSTICK_CONNECTIONS, 4)
    for unit in units:
        theirs = bench.read(systems[NAKAMA], NAKAMA_TOP, connections=connections)
        rate = TIMES * theirs.raw["per_second"]
        ours = bench.read(systems[SERVICE], read.PATH, connections=connections, rate=rate)
        if report.saw(theirs, ours):
            for name, result in ((NAKAMA, theirs), (SERVICE, ours)):
                report.add(top(name), **_figures(result, unit), ratio=ratio(theirs.cpu_us, result.cpu_us))


def _oplog(bench: Bench, report: Report, service: System, connections: int) -> None:
    assert service.base is not None
    before = service.base.now()
    report.saw(bench.write(service, connections=connections))
    sizes = service.base.oplog_entry_sizes(before)
    report.add(UPDATE, oplog=sizes["players"])
    report.add(ENTRY, oplog=sizes["ledger"])


def _figures(result: Result, unit: float) -> dict[str, float]:
    server = result.group_cpu_us("server")
    return {
        "per_second": result.raw["per_second"],
        "server": server,
        "database": result.cpu_us - server,
        "units": ratio(result.cpu_us, unit),
        "p50": result.latency("p50"),
        "p99": result.latency("p99"),
    }


def row(name: str, count: int, cores: str) -> str:
    """The row's name."""
    return f"{write.row(name, count)}, {cores}"


def top(name: str) -> str:
    """The row's name."""
    return f"{name}, top 10, 1 core"


def _targets(connections: tuple[int, ...], some: int, many: int) -> list[Target]:
    two = "2 cores"
    wanted = [(row(SERVICE, count, "1 core"), LEAST[count]) for count in connections if count in LEAST]
    wanted += [(row(BETTER, some, two), 0.9), (top(SERVICE), 8.8)]
    return [
        *(Target(f"{name}: at least {least} × Nakama", name, "ratio", least, least=True) for name, least in wanted),
        Target(f"{row(TWO, many, two)}: at least 1.3 × one process", row(TWO, many, two), "process", 1.3, least=True),
        Target(f"{UPDATE}: at most 600 B", UPDATE, "oplog", 600),
        Target(f"{ENTRY}: at most 400 B", ENTRY, "oplog", 400),
    ]
