"""Results of epochs against the ledger: pure, and by an audit of a real database."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.audit import audited
from tests.support.ledger import kinds
from tests.support.ledger_harness import ROOMY, moderation_request, open_ledger_harness
from tests.support.wait import eventually
from tornado_app.audit.results import ResultRows
from tornado_app.core.boards import Board, Order, Rule, View
from tornado_app.core.ledger import Entry, EntryKind
from tornado_app.core.periods import Epoch, EpochState, FinalResult
from tornado_app.core.slots import OpenEpoch, OpenEpochs
from tornado_app.core.versions import to_board_version, version_at
from tornado_app.mongo.periods.audit import ResultScan
from tornado_app.mongo.periods.erasure import ResultEraser
from tornado_app.mongo.periods.results import Results
from tornado_app.mongo.periods.sealing import result_rows
from tornado_app.mongo.players.moderation import MongoModeration
from tornado_app.mongo.players.store import MongoStore

WEEK = ("weekly", 1)
SEALED = {WEEK: FinalResult(Epoch(1, 10_000, 20_000, EpochState.SEALED, sealed_at=35_000))}


def entry(write_id, points, second, kind=None, **members):
    kind = kind or (EntryKind.TAKE_BACK if "takes_back" in members else EntryKind.ACTION)
    return Entry(
        write_id=write_id,
        player="alice",
        n=1,
        kind=kind,
        points=points,
        score=0,
        at=0,
        version=to_board_version(version_at(second, 1)),
        **members,
    )


def action(write_id, points, second=12, **members):
    return entry(write_id, points, second, epochs=(WEEK,), **members)


def taken(write_id, second):
    return entry(f"t.{write_id}", 0, second, takes_back=(write_id,))


FIRST, SECOND = action("a", 5), action("b", 2)
NOT_OF_THE_WEEK = entry("c", 100, 15)
HIDDEN, SHOWN = EntryKind.HIDE, EntryKind.SHOW
SUM = Board()
BEST = Board(rule=Rule.BEST)
FASTEST = Board(rule=Rule.BEST, order=Order.ASCENDING)
LAST = Board(rule=Rule.LAST)


def submitted(*values):
    return [action(f"s-{n}", 0, submitted=value) for n, value in enumerate(values)]


def moderated(kind, second):
    return entry(f"{kind}.{second}", 0, second, kind=kind)


@pytest.mark.parametrize(
    ("board", "entries", "right", "wrong"),
    [
        (SUM, [FIRST, NOT_OF_THE_WEEK, SECOND], {7}, {5, 107, 0, None}),
        (SUM, [NOT_OF_THE_WEEK], {None}, {100, 0}),
        (SUM, [FIRST, SECOND, taken("b", 15)], {5}, {7, None}),
        (SUM, [FIRST, taken("a", 15)], {0}, {5, None}),
        (SUM, [FIRST, SECOND, taken("b", 25), taken("a", 30)], {7, 5, 0}, {2, None}),
        (SUM, [FIRST, SECOND, taken("b", 40)], {7}, {5, None}),
        (SUM, [action("a", 5, checkpoint=b"x" * 32), SECOND], {7, 9, None}, set()),
        (SUM, [entry("z", 1, 5, checkpoint=b"x" * 32), FIRST], {5}, {9, None}),
        (BEST, submitted(3, 9, 5), {9}, {3, 5, 17, None}),
        (FASTEST, submitted(3, 9, 5), {3}, {9, 5, 17, None}),
        (LAST, submitted(3, 9, 5), {5}, {3, 9, 17, None}),
        (BEST, [*submitted(3, 9, 5), taken("s-1", 15)], {5}, {3, 9, None}),
        (LAST, [*submitted(3, 9, 5), taken("s-2", 25)], {5, 9}, {3, None}),
        (BEST, [*submitted(3), taken("s-0", 15)], {None}, {3, 0}),
        (BEST, [*submitted(3), taken("s-0", 25)], {None, 3}, {0}),
        (SUM, [FIRST, moderated(HIDDEN, 15)], {5, None}, {7}),
        (SUM, [FIRST, moderated(HIDDEN, 15), moderated(SHOWN, 25)], {5, None}, {7}),
        (SUM, [FIRST, moderated(HIDDEN, 15), moderated(SHOWN, 18)], {5}, {None}),
        (SUM, [FIRST, moderated(SHOWN, 25)], {5, None}, {7}),
        (SUM, [FIRST, moderated(HIDDEN, 40)], {5}, {None}),
    ],
    ids=[
        "sum", "no entry", "taken back in the epoch", "all taken back", "taken back before the sealing",
        "taken back after it", "folded in the epoch", "folded before it", "best", "lowest", "last",
        "best taken back", "last taken back before the sealing", "only one taken back",
        "only one taken back before the sealing", "hidden", "hidden at the end", "shown before the end",
        "hidden since before the first entry", "hidden after the sealing",
    ],
)  # fmt: skip
def test_row_is_the_score_by_the_entries_that_name_the_epoch(board, entries, right, wrong):
    rows = ResultRows("alice", board, SEALED)
    for each in entries:
        rows.add(each)
    found = {score for score in right | wrong if list(rows.doubts({} if score is None else {WEEK: score}))}
    assert found == wrong


def test_player_who_is_hidden_now_may_have_no_row():
    for hidden in (True, False):
        rows = ResultRows("alice", SUM, SEALED, hidden=hidden)
        rows.add(FIRST)
        assert bool(list(rows.doubts({}))) is not hidden


def test_disqualified_player_has_no_row():
    rows = ResultRows("alice", SUM, {WEEK: SEALED[WEEK]._replace(disqualified=frozenset(["alice"]))})
    rows.add(FIRST)
    assert not list(rows.doubts({}))
    (doubt,) = rows.doubts({WEEK: 5})
    assert doubt.finding.text == "the result of weekly 1 has the score 5 of a disqualified player"


@pytest.fixture
async def harness(mongo_database):
    """Two players with scores in the first week, of which bob's first was taken back, and its result."""
    async with open_ledger_harness(*mongo_database) as harness:
        await harness.start_writer()
        await harness.store.close()
        epochs = OpenEpochs((OpenEpoch("weekly", 1),), round((time.time() + 600) * 1000))
        harness.stores["main"] = MongoStore(
            harness.client, harness.name, policy=ROOMY, timeout=20, epochs=lambda: epochs
        )
        for n, player in enumerate(("alice", "bob", "alice", "bob")):
            await harness.score(player, n + 1, f"a-{n}")
        await harness.moderation.take_back(moderation_request("bob"), action_id="a-1", since=None)
        await harness.wait_complete()
        rows = result_rows("weekly", 1, Order.DESCENDING)
        harness.sync["players"].aggregate([*rows, {"$out": "results.main.weekly.1"}])
        now = datetime.now(UTC)
        count, digest = await Results(harness.client, harness.name).digest(View("main", "weekly"), 1)
        epoch = {"_id": "main.weekly.1", "board": "main", "period": "weekly", "epoch": 1, "state": "sealed"}
        epoch |= {"start": now - timedelta(hours=1), "end": now, "sealedAt": now, "rows": count, "sha256": digest}
        harness.sync["periods"].insert_one(epoch)
        yield harness


async def found(harness, *flags, **options):
    """The players of the differences, all of results, with their texts. There is one result."""
    _, lines = await audited(harness, *flags, **options)
    assert lines[-1]["results"] == 1
    assert {line["kind"] for line in lines[:-1]} <= {"wrong_result"}
    return [(line.get("player"), line["message"]) for line in lines[:-1]]


CHANGED = (None, "the result of weekly 1 is not the one that was sealed: its SHA-256 differs")


async def test_audit_reports_a_row_that_the_ledger_does_not_prove(harness):
    results = harness.sync["results.main.weekly.1"]
    assert {row["_id"]: row["score"] for row in results.find()} == {"alice": 4, "bob": 4}
    assert await found(harness) == []
    results.update_one({"_id": "bob"}, {"$set": {"score": 5}})
    expected = [CHANGED, ("bob", "the result of weekly 1 has the score 5, the ledger has the score 4 of it")]
    assert await found(harness, page=1) == expected
    assert await found(harness, "--board", "main") == expected


async def test_audit_reports_a_row_that_is_missing_and_one_without_entries(harness):
    results = harness.sync["results.main.weekly.1"]
    row = results.find_one_and_delete({"_id": "bob"})
    assert await found(harness) == [CHANGED, ("bob", "the result of weekly 1 has no row, the ledger has the score 4")]
    results.insert_one(row | {"_id": "zoe"})
    without = ("zoe", "the result of weekly 1 has the score 4, the ledger has no entry of it")
    assert (await found(harness, page=1))[-1] == without
    assert without in await found(harness)


async def test_audit_reports_a_name_that_was_changed_in_a_result(harness):
    harness.sync["results.main.weekly.1"].update_one({"_id": "bob"}, {"$set": {"username": "Zoë"}})
    assert await found(harness) == [CHANGED]


async def test_audit_after_an_erasure_reports_no_difference(harness):
    eraser = ResultEraser(harness.client, harness.name)
    moderation = MongoModeration(harness.client, harness.name, harness.ledger, erase_results=eraser.erase)
    await moderation.erase(moderation_request("bob"))
    await eventually(lambda: kinds(harness.sync, "") == [("erase", 0)])
    assert [row["_id"] for row in harness.sync["results.main.weekly.1"].find()] == ["alice"]
    assert await found(harness) == []  # there is no digest before the sealing process has computed it


async def test_audit_does_not_report_a_player_who_is_erased_while_it_reads(harness, monkeypatch):
    """The erasure comes between the rows and the entries."""
    rows = ResultScan.rows

    async def erased_before(self, *arguments):
        harness.sync["players"].update_one({"_id": "bob"}, {"$set": {"hidden": True, "erased": True}})
        await ResultEraser(self._database.client, harness.name).erase("bob")  # the client of the audit's loop
        found = await rows(self, *arguments)
        harness.sync["players"].delete_one({"_id": "bob"})
        return found

    monkeypatch.setattr(ResultScan, "rows", erased_before)
    _, lines = await audited(harness)
    assert "wrong_result" not in {line.get("kind") for line in lines}
