"""The score of a player, counted again from the ledger."""

from __future__ import annotations

import msgspec
import pytest

from tornado_app.core.boards import Board, Order, Rule
from tornado_app.core.ledger import Entry, EntryKind, Recount

LOWEST, HIGHEST = Board("b", Rule.BEST, Order.ASCENDING), Board("b", Rule.BEST)
LAST = Board("b", Rule.LAST)


def chain(*written: tuple[EntryKind, int | None, int]) -> list[Entry]:
    """Entries of these kinds, submitted scores and scores after them, oldest first; the time is the number."""
    entries, score = [], 0
    for n, (kind, submitted, after) in enumerate(written, start=1):
        entries.append(
            Entry(
                write_id=f"w.{n}",
                player="alice",
                n=n,
                kind=kind,
                points=after - score,
                score=after,
                at=n,
                version=n,
                submitted=submitted,
            )
        )
        score = after
    return entries


def recount(board: Board, entries: list[Entry], *without: str) -> tuple[int | None, int]:
    found = Recount(board, without)
    for each in reversed(entries):
        found.add(each)
    return found.score, found.at


ACTION, TAKE_BACK, EXTERNAL = EntryKind.ACTION, EntryKind.TAKE_BACK, EntryKind.EXTERNAL
LAPS = chain((EntryKind.REGISTER, None, 0), (ACTION, 90, 90), (ACTION, 80, 80), (ACTION, 85, 80), (ACTION, 80, 80))


@pytest.mark.parametrize(
    ("board", "without", "expected"),
    [
        (LOWEST, (), (80, 3)),
        (LOWEST, ("w.3",), (80, 5)),
        (LOWEST, ("w.3", "w.5"), (85, 4)),
        (LOWEST, ("w.2", "w.3", "w.4", "w.5"), (None, 0)),
        (HIGHEST, (), (90, 2)),
        (HIGHEST, ("w.2",), (85, 4)),
        (LAST, (), (80, 5)),
        (LAST, ("w.4",), (80, 3)),
        (LAST, ("w.5",), (85, 4)),
    ],
)
def test_recount_is_the_score_of_the_remaining_submissions(
    board: Board, without: tuple[str, ...], expected: tuple[int | None, int]
) -> None:
    assert recount(board, LAPS, *without) == expected


def test_recount_skips_what_was_taken_back_before() -> None:
    taken = msgspec.structs.replace(chain((TAKE_BACK, None, 85))[0], n=6, takes_back=("w.3", "w.5"))
    assert recount(LOWEST, [*LAPS, taken]) == (85, 4)


def test_recount_continues_from_a_score_that_the_service_did_not_write() -> None:
    entries = chain((ACTION, 90, 90), (EXTERNAL, None, 50), (ACTION, 70, 50), (ACTION, 40, 40))
    assert recount(LOWEST, entries, "w.4") == (50, 2)
    assert recount(LAST, entries, "w.3", "w.4") == (50, 2)


def test_recount_has_the_scores_of_the_removed_actions() -> None:
    found = Recount(LAST, ("w.1", "w.2", "w.4"))
    for each in reversed(LAPS):
        found.add(each)
    assert found.removed == {"w.2": 90, "w.4": 85}


def test_recount_continues_from_a_checkpoint() -> None:
    """The score before it is that of the folded entries."""
    entries = chain((ACTION, 90, 90), (ACTION, 60, 60), (ACTION, 70, 60))[1:]
    entries[0] = msgspec.structs.replace(entries[0], checkpoint=b"x" * 32)
    assert recount(LOWEST, entries, "w.3") == (60, 2)
    assert recount(LOWEST, entries, "w.2", "w.3") == (90, 2)
    first = msgspec.structs.replace(chain((EntryKind.REGISTER, None, 0), (ACTION, 60, 60))[1], checkpoint=b"x" * 32)
    assert recount(LOWEST, [first], "w.2") == (None, 0)


@pytest.mark.parametrize(
    ("board", "without", "week", "expected"),
    [
        (LOWEST, (), 1, (80, 3)),
        (LOWEST, (), 2, (80, 5)),
        (LOWEST, ("w.5",), 2, (85, 4)),
        (LOWEST, ("w.4", "w.5"), 2, (None, 0)),
        (LAST, ("w.5",), 2, (85, 4)),
        (LAST, ("w.3",), 1, (90, 2)),
    ],
)
def test_recount_in_an_epoch_has_its_actions_only(
    board: Board, without: tuple[str, ...], week: int, expected: tuple[int | None, int]
) -> None:
    weeks = dict(zip(LAPS, (0, 1, 1, 2, 2), strict=True))
    found = Recount(board, without, ("weekly", week))
    for entry, number in reversed(weeks.items()):
        found.add(msgspec.structs.replace(entry, epochs=(("weekly", number),) if number else ()))
    assert (found.score, found.at) == expected


def test_recount_in_an_epoch_knows_nothing_of_folded_entries() -> None:
    first = msgspec.structs.replace(LAPS[2], checkpoint=b"x" * 32, epochs=(("weekly", 1),))
    found = Recount(LOWEST, ("w.3",), ("weekly", 1))
    found.add(first)
    assert (found.score, found.removed) == (None, {"w.3": 80})
