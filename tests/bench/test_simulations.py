"""The simulations that docs/scaling.md quotes, in a small form."""

from __future__ import annotations

import random

import pytest

from bench.simulate import partitions, processes
from bench.simulate.__main__ import TABLES
from tests.support.project import ROOT
from tornado_app.core.ranks import Ranks

PAGE = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("count", [1, 3])
def test_merged_board_is_correct(count):
    found = partitions.simulate(partitions=count, rate=2000, seconds=0.5, players=100)
    assert found.boards > 3
    assert found.wrong == 0


def test_merge_delay_is_at_most_one_interval():
    """Each of the two pauses is an interval at most; here the queues add next to nothing."""
    found = partitions.simulate(partitions=4, rate=2000, seconds=2, players=100, interval=0.05)
    assert 50 < found.p99 < 2 * 50 + 5


def test_ranks_of_partitions_add_up():
    chance = random.Random(7)
    parts = [[chance.randrange(50) for _ in range(40)] for _ in range(3)]
    whole = Ranks()
    ranks = [Ranks() for _ in parts]
    for part, own in zip(parts, ranks, strict=True):
        for score in part:
            whole.add(score)
            own.add(score)
    for score in range(-1, 51):
        assert partitions.rank(own.rank(score) - 1 for own in ranks) == whole.rank(score)


def test_process_count_is_bounded_by_cores_and_ledger_writer():
    assert processes.capacity(2, 8) == pytest.approx(2 * processes.capacity(1, 8))
    assert processes.capacity(32, 2) == processes.capacity(64, 2)


@pytest.mark.parametrize("cores", [1, 2, 4, 8, 16, 32])
def test_best_number_of_processes_beats_any_other(cores):
    most = processes.capacity(cores, processes.best(cores))
    assert all(processes.capacity(cores, number) <= most for number in range(1, 200))


@pytest.mark.parametrize(("players", "sockets"), processes.LOADS)
def test_needed_processes_are_the_fewest_that_are_not_too_full(players, sockets):
    updates = players * processes.UPDATES_PER_PLAYER
    count = processes.needed(updates, sockets)
    assert processes.fullest(updates, sockets, count) <= processes.FULL
    assert count == 1 or processes.fullest(updates, sockets, count - 1) > processes.FULL


@pytest.mark.parametrize("name", TABLES)
def test_scaling_page_has_the_table(name):
    assert TABLES[name]() in PAGE
