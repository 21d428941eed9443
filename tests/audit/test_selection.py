"""Which entries an export contains, and what it reports as missing."""

import sys

import pytest

from tornado_app.audit.selection import Selection
from tornado_app.core.ledger import ERASURES, Entry, EntryKind


def chain(*entries, player="bob"):
    """Entries of (n, at), or (n, at, checkpoint)."""
    return [
        Entry(
            write_id=f"w-{n}", player=player, n=n, kind=EntryKind.ACTION, points=1, score=n, at=at, version=at,
            checkpoint=bytes(32) if checkpoint else b"",
        )
        for n, at, *checkpoint in entries
    ]  # fmt: skip


def selected(entries, since=0, before=sys.maxsize):
    """The selection, and the numbers of the selected entries."""
    selection = Selection(since, before)
    found = [selection.add(entry.chain, entry) for entry in entries]
    return selection, [entry.n for entry in found if entry is not None]


def test_selection_of_times_that_do_not_grow_cuts_no_chain_in_its_middle():
    entries = chain((1, 10), (2, 30), (3, 20), (4, 40), (5, 35), (6, 50))
    assert selected(entries, before=25)[1] == [1]
    assert selected(entries, since=25, before=38)[1] == [2, 3]
    assert selected(entries, since=38)[1] == [4, 5, 6]


def test_selection_counts_as_an_audit_of_the_export_does():
    entries = [*chain((1, 5), player=ERASURES), *chain((1, 5), (2, 9), player="alice"), *chain((1, 20))]
    counts = selected(entries, before=10)[0].written
    assert (counts.players, counts.entries, counts.erasures) == (1, 2, 1)


@pytest.mark.parametrize(
    ("entries", "torn", "folded"),
    [
        ([(1, 1), (2, 2), (3, 3)], 0, 0),
        ([(4, 4, True), (5, 5)], 0, 3),
        ([(1, 1), (2, 2), (3, 3, True)], 0, 0),  # a fold was interrupted before its removals
        ([(2, 2), (4, 4, True), (6, 6), (7, 7, True)], 1, 3),
        ([(2, 2), (3, 3, True)], 1, 1),
        ([(1, 1), (5, 5, True)], 1, 3),
        ([(3, 3, True), (4, 4), (9, 9, True), (10, 10)], 1, 6),
        ([(1, 1), (3, 3)], 0, 0),  # the audit's
    ],
)
def test_selection_of_a_chain_that_was_folded_meanwhile_reports_it(entries, torn, folded):
    selection, numbers = selected(chain(*entries))
    assert (selection.torn, selection.folded) == (torn, folded)
    assert numbers == [n for n, *_ in entries]


def test_selection_counts_checkpoints_after_its_time_as_folded():
    assert selected(chain((8, 100, True), (9, 101)), before=50)[0].folded == 7
    assert selected(chain((8, 100, True), (9, 101)), since=101)[0].folded == 0
