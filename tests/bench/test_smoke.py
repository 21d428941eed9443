"""Each benchmark, as small as it can be: that it runs, that everything was accepted, and that it reports in full.

Its figures are not looked at: on a shared machine they say nothing.
"""

from __future__ import annotations

import math

import pytest

from bench.bench import Bench
from bench.generator import Generator
from bench.measures import MEASURES
from bench.processes import Cores, Failed, Missing
from tests.support.requirements import missing

COUNTS = ("1 connection", "4 connections")
PROCESSES = ("1 process", "2 processes")
ROWS = {
    "write": {f"{name}, {count}" for name in ("this service", "naive") for count in COUNTS},
    "processes": {f"{name}, 2 cores" for name in PROCESSES},
    "nakama": {
        *(f"{name}, {what}, 1 core" for name in ("Nakama", "this service") for what in ("top 10", *COUNTS)),
        *(f"{name}, {count}, 2 cores" for name in ("Nakama", *PROCESSES, "better of both") for count in COUNTS),
        "an update in the oplog",
        "its ledger entry in the oplog",
    },
    "periods": {"no period", "one period", "three periods"},
    "seal": {"before", "while it is sealed"},
    "windows": {
        *("this service, one window", "this service, three windows"),
        *(f"Nakama, {what}" for what in ("one window", "three requests", "one function")),
    },
    "reset": {"this service", "Nakama"},
    "read": {"this service", "bare Tornado handler"},
    "recording": {f"{kind} {name}" for kind in ("reads", "updates") for name in ("with metrics", "without")},
    "broadcast": {f"{name}, 20 sockets" for name in ("this service", "write_message to each", "websockets broadcast")},
    "propagation": {"20 sockets", "5 pollers, every 100 ms"},
    "idle": {"this service", "Tornado's WebSocketHandler"},
    "stalled": {
        f"{name}, {stalled} stalled" for name in ("this service", "write_message to each") for stalled in (0, 2)
    } | {"this service, with ÷ without"},
    "ranks": {
        f"{name}, {size} players"
        for name in ("in the service", "count_documents", "Redis ZREVRANK")
        for size in ("1,000", "10,000")
        if name == "in the service" or size == "1,000"
    } | {"start to ready, 1,000 players"},
    "curve": {"closed loop", "50% of capacity", "70% of capacity", "90% of capacity"},
    "overload": {"64 connections"},
}  # fmt: skip
MAY_BE_EMPTY = {"Redis ZREVRANK, 1,000 players"}
"""Where it is not installed."""

MARKS = dict.fromkeys(("nakama", "windows", "reset"), pytest.mark.nakama)
"""Of those that `make test-all` leaves out."""


@pytest.fixture(scope="module")
def bench(mongod_binary):
    try:
        cores = Cores.of_this_machine()
        generator = Generator.build(cores.generator)
    except Failed as failure:
        missing(str(failure))
        raise
    return Bench(rounds=1, seconds=0.3, cores=cores, generator=generator, smoke=True)


def test_every_benchmark_has_a_smoke_test():
    assert set(ROWS) == set(MEASURES)


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, ())) for name in MEASURES])
def test_benchmark_runs_briefly(bench, name):
    try:
        report = MEASURES[name](bench)  # raises where the service refused anything, or a process ended
    except Missing as absent:
        missing(str(absent))
        raise
    assert not any("did not accept" in note for note in report.notes)
    assert set(report.figures) == ROWS[name]
    keys = {column.key for column in report.columns}
    for row, cells in report.figures.items():
        assert set(cells) <= keys, row
        assert row in MAY_BE_EMPTY or any(not math.isnan(value) for values in cells.values() for value in values), row
    for target in report.targets:
        assert target.row in report.figures or not report.figures
        assert target.column in keys
    text = report.markdown()
    assert f"## {report.title}\n" in text
    assert all(f"| {row} | " in text for row in report.figures)
