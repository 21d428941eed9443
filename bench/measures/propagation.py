"""Row 4: from a write to all who watch, beside polling."""

from __future__ import annotations

from bench.bench import Bench
from bench.report import Column, Report, Target

INTERVAL_MS = 100.0
"""The service's default `broadcast_interval`."""

HOW = """\
500 updates a second, each of which changes the leader, and 2,000 sockets. Latency is from an update's scheduled send:
to each socket, and to the last of all sockets. The service shows at most ten states a second, the newest.

The peer is the same service polled with `GET /api/top-scores` every 100 ms. 2,000 pollers would send 20,000 requests a
second, more than a core of Tornado answers; so there are 50. The CPU of both sides includes the same updates."""

COLUMNS = (
    Column("p50", "to each: p50 ms"),
    Column("p99", "p99 ms"),
    Column("all50", "to all: p50 ms"),
    Column("all99", "p99 ms"),
    Column("share", "server, of a core", 2),
)

PATH = "/api/top-scores"


def run(bench: Bench) -> Report:
    """Alternating."""
    sockets, pollers, rate, players = bench.pick((2000, 50, 500.0, 6000), (20, 5, 20.0, 300))
    pushed, polled = f"{sockets:,} sockets", f"{pollers} pollers, every 100 ms"
    targets = [Target("p99 to all, at most the interval + 50 ms", pushed, "all99", INTERVAL_MS + 50)]
    report = Report("From a write to everybody", HOW, COLUMNS, targets)
    with bench.stage() as stage:
        service = stage.service(players)
        for _, (name, count, path) in bench.turns([(pushed, sockets, None), (polled, pollers, PATH)]):
            result = bench.watch(service, subscribers=count, rate=rate, players=players, poll=path)
            if not report.saw(result):
                continue
            share = result.raw["cpu_seconds"]["server"] / result.raw["seconds"]
            report.add(
                name, p50=result.latency("p50"), p99=result.latency("p99"), share=share,
                all50=result.latency("p50", "all_ms"), all99=result.latency("p99", "all_ms"),
            )  # fmt: skip
    return report
