"""Row 5: memory of idle sockets, beside Tornado's own handler."""

from __future__ import annotations

from bench.bench import Bench
from bench.processes import Failed
from bench.report import Column, Report, Target
from bench.systems import Stage, System

HOW = """\
10,000 sockets that only answer pings, every 5 seconds here so that each is pinged within the run. Memory is the growth
of the server's resident set, from before the first socket to the end, for each socket, without the kernel's buffers.
Each round starts new processes. The peer is an empty `WebSocketHandler`."""

COLUMNS = (
    Column("kib", "KiB a socket"),
    Column("share", "server, of a core", 2),
    Column("connect", "sockets opened a second", 0),
)

SERVICE, BARE = "this service", "Tornado's WebSocketHandler"


def run(bench: Bench) -> Report:
    """Alternating."""
    sockets, ping = bench.pick((10_000, 5.0), (20, 0.3))
    report = Report("Idle sockets", HOW, COLUMNS, [Target("memory, at most 16 KiB a socket", SERVICE, "kib", 16.0)])
    for _, name in bench.turns([SERVICE, BARE]):
        with bench.stage() as stage:
            system = _start(stage, name, ping)
            result = bench.watch(system, subscribers=sockets, rate=0, players=1, seconds=max(bench.seconds, ping))
        if result.raw["closed"]:
            raise Failed(f"{name} closed {result.raw['closed']} idle sockets")
        if report.saw(result):
            grown = result.raw["rss_bytes"]["server"] - result.raw["rss_bytes_alone"]["server"]
            report.add(
                name, kib=grown / 1024 / sockets, connect=sockets / result.raw["connect_seconds"],
                share=result.raw["cpu_seconds"]["server"] / result.raw["seconds"],
            )  # fmt: skip
    return report


def _start(stage: Stage, name: str, ping: float) -> System:
    return stage.service(10, flags=("--ping-interval", f"{ping:g}s")) if name == SERVICE else stage.bare(ping=ping)
