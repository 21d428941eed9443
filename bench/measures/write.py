"""Row 1: score updates, beside the naive service."""

from __future__ import annotations

from bench.bench import Bench
from bench.generator import Result
from bench.report import Column, Report, Target, ratio

HOW = """\
`POST /api/score` with a bearer token and an `Idempotency-Key`, closed loop: acknowledged by a majority and journaled,
exactly once, limited to 10 a minute, with an audit line each (to a file). The action proof is `optional` and none is
sent. Players take turns, so each token is used again only after all others; each player's document is full of
remembered actions, and each player has made an update before, so that token and player are cached, as in play.

The peer is a Tornado handler with one Motor `find_one_and_update` and a token check, without any of the guarantees.
Server and mongod of each share one core; CPU is that of both, for each accepted update. One connection is an open loop
of 50/s, latency from the scheduled send."""

COLUMNS = (
    Column("per_second", "updates/s", 0),
    Column("server", "server µs", 0),
    Column("mongod", "mongod µs", 0),
    Column("units", "CPU in U", 2),
    Column("p50", "p50 ms", 2),
    Column("p99", "p99 ms", 2),
    Column("ratio", "× naive"),
)

SERVICE, NAIVE = "this service", "naive"
ONE, SOME, MANY = 1, 64, 256
RATE_OF_ONE = 50.0


def run(bench: Bench) -> Report:
    """Alternating, at one, 64 and 256 connections."""
    players = bench.pick(30_000, 1500)
    connections = bench.pick((SOME, MANY), (4,))
    report = Report("Score updates", HOW, COLUMNS, _targets(connections))
    with bench.stage() as stage:
        bare = stage.bare()
        systems = {
            SERVICE: bench.played(stage.service(players), players),
            NAIVE: bench.played(stage.naive(players), players),
        }
        found: dict[tuple[int, str, int], Result] = {}
        units = [bench.yardstick(bare) for _ in range(bench.rounds)]
        for number, (name, system) in bench.turns(list(systems.items())):
            for count in connections:
                found[number, name, count] = bench.write(system, connections=count)
            found[number, name, ONE] = bench.write(system, connections=ONE, rate=RATE_OF_ONE)
        for number, unit in enumerate(units):
            for count in (*connections, ONE):
                _add(report, unit, count, found[number, SERVICE, count], found[number, NAIVE, count])
    report.notes.append(f"U: {min(units):.0f} to {max(units):.0f} µs")
    return report


def _add(report: Report, unit: float, count: int, service: Result, naive: Result) -> None:
    """A round's figures, unless one of the two is void: a ratio needs both."""
    if not report.saw(service, naive):
        return
    for name, result, other in ((SERVICE, service, naive), (NAIVE, naive, naive)):
        figures = {
            "server": result.group_cpu_us("server"),
            "mongod": result.group_cpu_us("mongod"),
            "units": ratio(result.cpu_us, unit),
            "p50": result.latency("p50"),
            "p99": result.latency("p99"),
        }
        if count == ONE:
            figures["ratio"] = ratio(result.latency("p50"), other.latency("p50"))
        else:
            figures["per_second"] = result.raw["per_second"]
            figures["ratio"] = ratio(result.raw["per_second"], other.raw["per_second"])
        report.add(row(name, count), **figures)


def row(name: str, count: int) -> str:
    """The row's name."""
    return f"{name}, {count} connection{'' if count == 1 else 's'}"


def _targets(connections: tuple[int, ...]) -> list[Target]:
    found = []
    for count in connections:
        mine = row(SERVICE, count)
        found.append(Target(f"CPU at {count} connections, at most 2.2 U", mine, "units", 2.2))
        found.append(Target(f"updates/s at {count} connections, at least 4 × naive", mine, "ratio", 4.0, least=True))
    found.append(Target("p50 of one connection, at most 1.2 × naive", row(SERVICE, ONE), "ratio", 1.2))
    return found
