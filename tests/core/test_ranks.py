"""Ranks against a brute-force count."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tornado_app.core.boards import Order
from tornado_app.core.model import MAX_SCORE
from tornado_app.core.ranks import Ranks


def check(ranks, scores, probes, order=Order.DESCENDING):
    assert len(ranks) == len(scores)
    for probe in probes:
        better = sorted((s for s in scores if order.better(s, probe)), reverse=order is Order.ASCENDING)
        assert ranks.rank(probe) == 1 + len(better)
        assert ranks.next_score(probe) == next(iter(better), None)


SCORES = st.one_of(st.integers(-12, 12), st.sampled_from([-MAX_SCORE - 1, 0, 1, MAX_SCORE - 1, MAX_SCORE]))


@settings(max_examples=100)
@given(
    order=st.sampled_from(Order),
    start=st.dictionaries(SCORES, st.integers(1, 15), max_size=8),
    steps=st.lists(st.tuples(st.integers(0, 10**6), st.one_of(st.none(), SCORES)), max_size=60),
)
def test_ranks_equal_brute_force_after_any_sequence_of_moves(order, start, steps):
    ranks = Ranks(start.items(), order=order, bucket=4)
    scores = [score for score, players in start.items() for _ in range(players)]
    for pick, new in steps:
        old = scores.pop(pick % len(scores)) if scores and pick % 3 else None
        if new is not None:
            scores.append(new)
        ranks.move(old, new)
        check(ranks, scores, {*scores, 0, 6, MAX_SCORE}, order)


def test_ranks_of_many_players_with_the_default_bucket_size_equal_brute_force():
    rng = random.Random(7)
    scores = [rng.randrange(5000) for _ in range(5_000)]
    ranks = Ranks((score, scores.count(score)) for score in set(scores))
    for _ in range(5_000):
        at = rng.randrange(len(scores))
        new = scores[at] + rng.randrange(1, 60)
        ranks.move(scores[at], new)
        scores[at] = new
    check(ranks, scores, rng.sample(scores, 50))


def test_ranks_of_ties_are_shared_and_the_next_is_skipped():
    ranks = Ranks([(50, 1), (40, 2), (30, 1)])
    assert [ranks.rank(score) for score in (50, 40, 30)] == [1, 2, 4]


def test_ranks_of_an_empty_board_are_1():
    ranks = Ranks()
    assert len(ranks) == 0
    assert ranks.rank(0) == 1


def test_ranks_emptied_and_filled_again_equal_brute_force():
    ranks = Ranks([(1, 9)], bucket=4)
    for _ in range(9):
        ranks.remove(1)
    ranks.add(3)
    check(ranks, [3], [0, 3, 9])


@pytest.mark.parametrize("absent", [0, 2, 99])
def test_ranks_remove_of_an_absent_score_raises_key_error(absent):
    ranks = Ranks([(1, 1), (3, 1)])
    with pytest.raises(KeyError):
        ranks.remove(absent)
    check(ranks, [1, 3], [0, 1, 2, 3, 4])
