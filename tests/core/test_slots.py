"""Scores in periods against a model that keeps every value of every epoch."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_app.core.boards import Board, Order, Rule
from tornado_app.core.history import HistoryEntry, WriteKind, decode, encode
from tornado_app.core.slots import (
    MAX_FOLLOWED,
    EpochScore,
    OpenEpoch,
    Slot,
    SlotBefore,
    SlotChange,
    epoch_scores,
    find,
    followed,
    with_scores,
    with_value,
)

BOARDS = st.builds(Board, st.just("main"), st.sampled_from(Rule), st.sampled_from(Order))
STEPS = st.lists(
    st.tuples(st.integers(-50, 50), st.integers(0, 2), st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=30
)
"""Of each write: the value, the epochs that begin before it in two periods, and how many stay unsealed."""


def result(values: list[tuple[int, int]], board: Board) -> tuple[int, int]:
    """The score of (value, time) pairs, and when it was reached."""
    if board.rule is Rule.SUM:
        score, at = 0, 0
        for value, time in values:
            score, at = score + value, time if value or at == 0 else at
        return score, at
    if board.rule is Rule.LAST:
        score = values[-1][0]
        place = len(values) - 1
        while place and values[place - 1][0] == score:
            place -= 1
        return score, values[place][1]
    best = (min if board.order is Order.ASCENDING else max)(value for value, _ in values)
    return best, next(time for value, time in values if value == best)


def present(slots: Sequence[Slot], period: str) -> tuple[int | None, int]:
    """The score in a period, and when it was reached."""
    slot = find(slots, period)
    assert slot is not None
    return slot.score, slot.at


@given(BOARDS, STEPS)
def test_each_epoch_has_the_score_of_its_own_values(board, steps):
    slots: tuple[Slot, ...] = ()
    numbers = {"weekly": 1, "season": 1}
    unsealed = dict(numbers)
    known: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for now, (value, weeks, seasons, open_ones) in enumerate(steps, start=1):
        numbers["weekly"] += weeks
        numbers["season"] += seasons
        for period, number in numbers.items():
            unsealed[period] = max(unsealed[period], number - open_ones)
            known.setdefault((period, number), []).append((value, now))
        epochs = [OpenEpoch(period, number, unsealed[period]) for period, number in numbers.items()]
        earlier = slots
        slots, before = with_value(slots, epochs, value, now, board)
        for each in before:
            slot = find(earlier, each.period)
            assert each.score == (slot.score if slot is not None and slot.epoch == each.epoch else None)
        changes = [SlotChange(*msgspec.structs.astuple(each), *present(slots, each.period)) for each in before]
        seen = followed(earlier, changes)
        assert seen is not None
        assert [present(seen, period) for period in numbers] == [present(slots, period) for period in numbers]
        for period, number in numbers.items():
            slot = find(slots, period)
            assert slot is not None
            assert (slot.epoch, (slot.score, slot.at)) == (number, result(known[period, number], board))
    for period, number in numbers.items():
        slot = find(slots, period)
        assert slot is not None
        wanted = [
            EpochScore(epoch, *result(values, board))
            for (each, epoch), values in known.items()
            if each == period and unsealed[period] <= epoch < number
        ]
        found = [each for each in slot.earlier if each.epoch >= unsealed[period]]
        assert found == wanted


@given(STEPS)
def test_sum_over_epochs_is_the_score_of_all_time(steps):
    board, slots, number = Board(), (), 1
    for value, more, _, _ in steps:
        number += more
        slots, _ = with_value(slots, [OpenEpoch("weekly", number)], value, 1, board)
    (slot,) = slots
    assert slot.score + sum(each.score for each in slot.earlier) == sum(value for value, *_ in steps)


def test_slot_of_a_later_epoch_stays():
    slots, before = with_value([Slot("weekly", 3, 10, 1)], [OpenEpoch("weekly", 2)], 5, 9, Board())
    assert slots == (Slot("weekly", 3, 15, 9),)
    assert before == [SlotBefore("weekly", 3, 10)]


def test_slot_of_a_period_that_is_no_longer_there_stays():
    old = Slot("daily", 4, 10, 1)
    slots, before = with_value([old], [OpenEpoch("weekly", 1)], 5, 9, Board())
    assert slots == (old, Slot("weekly", 1, 5, 9))
    assert before == [SlotBefore("weekly", 1, None)]


@pytest.mark.parametrize("submitted", [None, 7], ids=["points", "score"])
@pytest.mark.parametrize("slots", [[], [SlotBefore("weekly", 14, None), SlotBefore("season", 1, -5)]])
def test_entry_with_slots_is_decoded_as_it_was(submitted, slots):
    entry = HistoryEntry(WriteKind.ACTION, 5, "w.1", 1_800_000_000_000, 60, "alice", submitted=submitted, slots=slots)
    assert decode(encode(entry)) == entry


def test_entry_without_slots_is_stored_as_before():
    entry = HistoryEntry(WriteKind.ACTION, 5, "w.1", 1, 60, "alice")
    assert encode(entry) == '["a",5,"w.1",1,60,"alice",null,"",null,""]'


@pytest.mark.parametrize("change", [SlotChange("weekly", 3, 9, 12, 5), SlotChange("weekly", 2, 10, 12, 5)])
def test_slots_that_are_not_those_before_a_change_cannot_follow_it(change):
    assert followed([Slot("weekly", 3, 10, 4)], [change]) is None


def test_slots_are_not_followed_without_end():
    slots, epochs = (Slot("weekly", 1, 5, 4),), 1
    while (after := followed(slots, [SlotChange("weekly", epochs + 1, None, 5, 4)])) is not None:
        slots, epochs = after, epochs + 1
    assert epochs == 1 + MAX_FOLLOWED


def test_scores_of_epochs_change_in_their_places():
    slots = (
        Slot("weekly", 3, 10, 30, (EpochScore(1, 5, 10), EpochScore(2, 7, 20))),
        Slot("season", 1, 22, 30),
    )
    assert {epoch: each.score for epoch, each in epoch_scores(slots).items()} == {
        ("weekly", 1): 5, ("weekly", 2): 7, ("weekly", 3): 10, ("season", 1): 22,
    }  # fmt: skip
    changed = {("weekly", 1): None, ("weekly", 2): EpochScore(2, 4, 15), ("weekly", 3): None, ("season", 9): None}
    assert with_scores(slots, changed) == (Slot("weekly", 3, None, 0, (EpochScore(2, 4, 15),)), slots[1])
    assert with_scores(slots, {("weekly", 3): EpochScore(3, 8, 25)})[0] == Slot("weekly", 3, 8, 25, slots[0].earlier)
