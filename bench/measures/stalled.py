"""Row 6: readers that stall, beside a server that keeps everything for them."""

from __future__ import annotations

from bench.bench import Bench
from bench.report import Column, Report, Target, ratio
from bench.systems import Stage, System

HOW = """\
1,000 sockets read and 50 beside them never do, with ten changes of the leader a second; and the same without the 50.
Names are 60 CJK characters, so that a message is about 3 KiB and fills the kernel's buffers soon. Memory is the
growth of the server's resident set from when all were connected to the end; latency is that of the readers. Each run
has new processes, and lasts ten times as long as those of other benchmarks, or `--seconds` from 30 on: `python -m
bench stalled --seconds 300` is the long form."""

COLUMNS = (
    Column("growth", "RSS growth %"),
    Column("p50", "p50 ms"),
    Column("p99", "p99 ms"),
    Column("cut", "cut off", 0),
)

SERVICE, NAIVE = "this service", "write_message to each"
NAME = "名" * 60
PLAYERS = 200
RATE = 10.0
LONGER, LONG = 10, 30.0


def run(bench: Bench) -> Report:
    """Each with and without, once: it is the longest benchmark."""
    readers, stalled = bench.pick((1000, 50), (20, 2))
    seconds = bench.seconds if bench.smoke or bench.seconds >= LONG else bench.seconds * LONGER
    mine, relation = f"{SERVICE}, {stalled} stalled", f"{SERVICE}, with ÷ without"
    targets = [
        Target("RSS grows by at most 10%", mine, "growth", 10.0),
        Target("p99 of the readers, at most 1.2 × without", relation, "p99", 1.2),
    ]
    report = Report("Stalled readers", HOW, COLUMNS, targets)
    for name in (SERVICE, NAIVE):
        for count in (0, stalled):
            with bench.stage() as stage:
                system = _start(stage, name)
                result = bench.watch(
                    system, subscribers=readers, stalled=count, rate=RATE, players=PLAYERS, seconds=seconds
                )
            if report.saw(result):
                before = result.raw["rss_bytes_connected"]["server"]
                report.add(
                    f"{name}, {count} stalled", growth=(result.raw["rss_bytes"]["server"] / before - 1) * 100,
                    p50=result.latency("p50"), p99=result.latency("p99"), cut=result.raw["stalled_cut_off"],
                )  # fmt: skip
    report.add(relation, p99=ratio(report.median(mine, "p99"), report.median(f"{SERVICE}, 0 stalled", "p99")))
    return report


def _start(stage: Stage, name: str) -> System:
    if name == SERVICE:
        return stage.service(PLAYERS, name=NAME)
    return stage.broadcaster(NAIVE, "write_message", PLAYERS, NAME)
