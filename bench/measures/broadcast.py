"""Row 3: a changed top 10 to many sockets, beside Tornado's `write_message` and the library `websockets`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from bench.bench import Bench
from bench.generator import Result
from bench.processes import START_SECONDS, until
from bench.report import Column, Report, Target, ratio
from bench.systems import System

HOW = """\
Ten times a second an update changes the leader, and every socket gets a message (`/ws/scoreboard`). Latency is from
the update's scheduled send to its arrival at a socket; where a newer state took its place, to that one's. CPU is the
server's whole, for each message that arrived; this service's also holds the writes and the change stream, mongod's is
left out. The peers keep their board in memory and have neither.

Beside the most sockets: `POST /api/score` of other players at 50/s, open loop, while the broadcast runs and without
one. Loop lag is the maximum delay of the service's own 100 ms timer."""

COLUMNS = (
    Column("cpu", "server µs a message", 1),
    Column("units", "in U", 3),
    Column("ratio", "CPU, × less than write_message"),
    Column("messages", "messages/s", 0),
    Column("p50", "p50 ms"),
    Column("p99", "p99 ms"),
    Column("lag", "loop lag ms"),
    Column("post", "POST p99 ms"),
    Column("beside", "× without"),
)

SERVICE, TORNADO, LIBRARY = "this service", "write_message to each", "websockets broadcast"
PLAYERS = 200
RATE = 10.0
LAG, SOCKETS = "leaderboard_event_loop_lag_seconds", "leaderboard_websocket_connections"
BESIDE_RATE, BESIDE_CONNECTIONS, BESIDE_PLAYERS = 50.0, 16, 1000


def run(bench: Bench) -> Report:
    """Alternating, at each number of sockets."""
    sizes = bench.pick((1000, 5000), (20,))
    report = Report("Broadcast", HOW, COLUMNS, _targets(sizes))
    with bench.stage() as stage:
        bare = stage.bare()
        service = stage.service(PLAYERS)
        beside = stage.others(service, BESIDE_PLAYERS)
        systems = {
            SERVICE: service,
            TORNADO: stage.broadcaster(TORNADO, "write_message", PLAYERS),
            LIBRARY: stage.broadcaster(LIBRARY, "library_broadcast", PLAYERS),
        }
        units = [bench.yardstick(bare) for _ in range(bench.rounds)]
        for size in sizes:
            found: dict[tuple[int, str], Result] = {}
            for number, (name, system) in bench.turns(list(systems.items())):
                if name == SERVICE:
                    service.metric(LAG)  # each scrape begins a new maximum
                result = found[number, name] = bench.watch(system, subscribers=size, rate=RATE, players=PLAYERS)
                if name == SERVICE and not result.void:
                    report.add(row(name, size), lag=service.metric(LAG) * 1000)
                if name == SERVICE and size == sizes[-1]:
                    report.add(row(name, size), **_beside(bench, service, beside, size))
            for number, unit in enumerate(units):
                _add(report, size, unit, {name: found[number, name] for name in systems})
    return report


def _add(report: Report, size: int, unit: float, results: dict[str, Result]) -> None:
    """A round's figures, unless one of its runs is void."""
    if not report.saw(*results.values()):
        return
    for name, result in results.items():
        cpu = result.message_cpu_us("server")
        report.add(
            row(name, size),
            cpu=cpu,
            units=ratio(cpu, unit),
            ratio=ratio(results[TORNADO].message_cpu_us("server"), cpu),
            messages=result.raw["messages"] / result.raw["seconds"],
            p50=result.latency("p50"),
            p99=result.latency("p99"),
        )


def _beside(bench: Bench, service: System, beside: System, size: int) -> dict[str, float]:
    """The p99 of other players' updates during a broadcast, and how many times that is of the p99 without one."""
    alone = bench.write(beside, connections=BESIDE_CONNECTIONS, rate=BESIDE_RATE)
    with ThreadPoolExecutor(1) as pool:
        seconds = 2 * (bench.warmup + bench.seconds)  # for as long as the updates, and some more
        broadcast = pool.submit(bench.watch, service, subscribers=size, rate=RATE, players=PLAYERS, seconds=seconds)
        for _ in until(START_SECONDS, f"{size} sockets are open"):
            if service.metric(SOCKETS) >= size or broadcast.done():
                break
        together = bench.write(beside, connections=BESIDE_CONNECTIONS, rate=BESIDE_RATE)
        broadcast.result()
    return {"post": together.latency("p99"), "beside": ratio(together.latency("p99"), alone.latency("p99"))}


def row(name: str, size: int) -> str:
    """The row's name."""
    return f"{name}, {size:,} sockets"


def _targets(sizes: tuple[int, ...]) -> list[Target]:
    found = []
    for size in sizes:
        mine = row(SERVICE, size)
        found += [
            Target(f"CPU a message at {size:,} sockets, at most 0.08 U", mine, "units", 0.08),
            Target(f"CPU at {size:,} sockets, × less than write_message, at least 3.5", mine, "ratio", 3.5, least=True),
            Target(f"p99 at {size:,} sockets, at most 58 ms", mine, "p99", 58.0),
            Target(f"the loop is held at {size:,} sockets, at most 20 ms", mine, "lag", 20.0),
        ]
    most = sizes[-1]
    return [*found, Target(f"POST p99 beside {most:,} sockets, at most 2 × without", row(SERVICE, most), "beside", 2.0)]
