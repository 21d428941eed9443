"""What a submitted value does to a score, for each rule and order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_app.core.boards import Board, Bounds, Order, Rule

VALUES = st.integers(-20, 20)


@pytest.mark.parametrize(
    ("rule", "order", "score", "value", "after"),
    [
        (Rule.SUM, Order.DESCENDING, None, 5, 5),
        (Rule.SUM, Order.ASCENDING, 7, 5, 12),
        (Rule.BEST, Order.DESCENDING, None, -5, -5),
        (Rule.BEST, Order.DESCENDING, 7, 5, 7),
        (Rule.BEST, Order.DESCENDING, 7, 8, 8),
        (Rule.BEST, Order.ASCENDING, None, 5, 5),
        (Rule.BEST, Order.ASCENDING, 0, 5, 0),
        (Rule.BEST, Order.ASCENDING, 7, 5, 5),
        (Rule.LAST, Order.ASCENDING, None, 5, 5),
        (Rule.LAST, Order.DESCENDING, 7, 5, 5),
    ],
)
def test_score_after_follows_the_rule(rule: Rule, order: Order, score: int | None, value: int, after: int) -> None:
    assert Board("b", rule, order).score_after(score, value) == after


@given(st.sampled_from(Order), st.lists(VALUES, min_size=1))
def test_score_after_of_best_is_the_first_in_board_order(order: Order, values: list[int]) -> None:
    score: int | None = None
    for value in values:
        score = Board("b", Rule.BEST, order).score_after(score, value)
    assert score == (max(values) if order is Order.DESCENDING else min(values))


@pytest.mark.parametrize(
    ("bounds", "inside", "outside", "text"),
    [
        (Bounds(2, 4), (2, 4), (1, 5), "2 to 4"),
        (Bounds(min=0), (0, 2**62), (-1,), "0 or more"),
        (Bounds(max=4), (4, -(2**62)), (5,), "4 or less"),
    ],
)
def test_bounds_contain_their_ends(
    bounds: Bounds, inside: tuple[int, ...], outside: tuple[int, ...], text: str
) -> None:
    assert all(value in bounds for value in inside)
    assert not any(value in bounds for value in outside)
    assert str(bounds) == text
