"""The comparison of the clients' account with the archives of seasons."""

from __future__ import annotations

import pytest

from bench.measures.reset import Account, Action, Archive, compared

SPANS = {
    ("short", 1): (0.0, 5.0), ("short", 2): (5.0, 10.0), ("short", 3): (10.0, 15.0),
    ("long", 1): (0.0, 10.0), ("long", 2): (10.0, 20.0),
}  # fmt: skip


def action(at: float, short: int, long: int) -> Action:
    return Action("ann", at, at + 0.01, {"short": short, "long": long})


def archive(short: dict[int, int], long: dict[int, int], at_end: dict[tuple[str, int], int] | None = None) -> Archive:
    points = {
        (name, n): {"ann": count} for name, each in (("short", short), ("long", long)) for n, count in each.items()
    }
    return Archive(points, SPANS, {season: sum(rows.values()) for season, rows in points.items()} | (at_end or {}))


ACTIONS = [action(4, 1, 1), action(6, 2, 1)]


@pytest.mark.parametrize(
    ("actions", "found", "expected"),
    [
        (ACTIONS, archive({1: 1, 2: 1}, {1: 2}), {}),
        (ACTIONS, archive({1: 1}, {1: 2}), {"lost": 1}),
        (ACTIONS, archive({1: 1, 2: 2}, {1: 3}), {"doubled": 2}),
        (ACTIONS, archive({1: 0, 2: 2}, {1: 2}), {"other": 1}),
        (ACTIONS, archive({2: 1}, {1: 2}), {"lost": 1}),  # it is not known which one
        ([action(4, 2, 1)], archive({2: 1}, {1: 1}), {"other": 1}),  # before that season
        ([action(10, 2, 2)], archive({2: 1}, {2: 1}), {"apart": 1}),
        ([action(10, 3, 1)], archive({3: 1}, {1: 1}), {"apart": 1}),
        (ACTIONS, archive({1: 1, 2: 1}, {1: 2}, {("long", 1): 1}), {"late": 1}),
    ],
)  # fmt: skip
def test_comparison_finds_each_difference(actions, found, expected):
    figures = compared([Account(actions, again=1)], found)
    assert {name: figures[name] for name in ("lost", "doubled", "other", "apart", "late") if figures[name]} == expected
    assert (figures["acknowledged"], figures["again"]) == (len(actions), 1)
