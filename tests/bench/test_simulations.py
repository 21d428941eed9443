"""The simulations that docs/scaling.md quotes, in a small form."""

from __future__ import annotations

import random

import pytest

from bench.simulate import group_commit, partitions, processes
from bench.simulate.__main__ import TABLES
from tests.support.project import ROOT
from tornado_app.core.ranks import Ranks

PAGE = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("load", [0.5, 0.7, 0.9])
def test_batch_size_follows_the_formula(load):
    rate = load / group_commit.UPDATE
    assert group_commit.simulate(rate, 20).batch == pytest.approx(group_commit.expected_batch(rate), rel=0.15)


def test_update_without_load_does_not_wait():
    alone = (group_commit.FLUSH + group_commit.UPDATE) * 1000
    found = group_commit.simulate(5, 60)
    assert found.batch < 1.05
    assert found.p50 == pytest.approx(alone)


def test_queue_beyond_capacity_grows_without_bound():
    over = 1.1 / group_commit.UPDATE
    assert group_commit.simulate(over, 8).p50 > 1.5 * group_commit.simulate(over, 4).p50


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


@pytest.mark.parametrize("name", TABLES)
def test_scaling_page_has_the_table(name):
    assert TABLES[name]() in PAGE
