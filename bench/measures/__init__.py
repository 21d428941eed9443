"""The benchmarks, by the name that `python -m bench` takes, in the order of the report."""

from __future__ import annotations

from collections.abc import Callable

from bench.bench import Bench
from bench.measures import (
    broadcast,
    curve,
    idle,
    nakama,
    overload,
    periods,
    processes,
    propagation,
    ranks,
    read,
    recording,
    reset,
    seal,
    stalled,
    windows,
    write,
)
from bench.report import Report

MEASURES: dict[str, Callable[[Bench], Report]] = {
    "write": write.run,
    "processes": processes.run,
    "nakama": nakama.run,
    "periods": periods.run,
    "seal": seal.run,
    "windows": windows.run,
    "reset": reset.run,
    "read": read.run,
    "recording": recording.run,
    "broadcast": broadcast.run,
    "propagation": propagation.run,
    "idle": idle.run,
    "stalled": stalled.run,
    "ranks": ranks.run,
    "curve": curve.run,
    "overload": overload.run,
}
