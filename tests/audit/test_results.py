"""Results of epochs against the ledger: pure, and by an audit of a real database."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.audit import differences
from tests.support.ledger_harness import ROOMY, moderation_request, open_ledger_harness
from tornado_app.audit.results import ResultRows
from tornado_app.core.boards import Order
from tornado_app.core.ledger import Entry, EntryKind
from tornado_app.core.periods import Epoch, EpochState
from tornado_app.core.slots import OpenEpoch, OpenEpochs
from tornado_app.core.versions import to_board_version, version_at
from tornado_app.mongo.periods.sealing import result_rows
from tornado_app.mongo.players.store import MongoStore

WEEK = ("weekly", 1)
SEALED = {WEEK: Epoch(1, 10_000, 20_000, EpochState.SEALED, sealed_at=35_000)}


def entry(write_id, points, second, **members):
    kind = EntryKind.TAKE_BACK if "takes_back" in members else EntryKind.ACTION
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


@pytest.mark.parametrize(
    ("entries", "right", "wrong"),
    [
        ([FIRST, NOT_OF_THE_WEEK, SECOND], {7}, {5, 107, 0}),
        ([NOT_OF_THE_WEEK], set(), {100, 0}),
        ([FIRST, SECOND, taken("b", 15)], {5}, {7}),
        ([FIRST, SECOND, taken("b", 25), taken("a", 30)], {7, 5, 0}, {2}),
        ([FIRST, SECOND, taken("b", 40)], {7}, {5}),
        ([action("a", 5, submitted=5)], {5, 9}, set()),
        ([action("a", 5, checkpoint=b"x" * 32), SECOND], {7, 9}, set()),
        ([entry("z", 1, 5, checkpoint=b"x" * 32), FIRST], {5}, {9}),
    ],
    ids=[
        "sum", "no entry", "taken back in the epoch", "taken back before the sealing", "taken back after it",
        "submitted", "folded in the epoch", "folded before it",
    ],
)  # fmt: skip
def test_row_is_the_sum_of_the_entries_that_name_the_epoch(entries, right, wrong):
    rows = ResultRows("alice", "main", SEALED)
    for each in entries:
        rows.add(each)
    for score in right:
        assert not list(rows.findings({WEEK: score}))
    for score in wrong:
        assert [finding.kind.value for finding in rows.findings({WEEK: score})] == ["wrong_result"]
    assert not list(rows.findings({}))


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
        dates = {"start": now - timedelta(hours=1), "end": now, "sealedAt": now}
        epoch = {"_id": "main.weekly.1", "board": "main", "period": "weekly", "epoch": 1, "state": "sealed"}
        harness.sync["periods"].insert_one(epoch | dates)
        yield harness


async def test_audit_reports_a_row_that_the_ledger_does_not_prove(harness):
    results = harness.sync["results.main.weekly.1"]
    assert {row["_id"]: row["score"] for row in results.find()} == {"alice": 4, "bob": 4}
    assert await differences(harness) == []
    results.update_one({"_id": "bob"}, {"$set": {"score": 5}})
    assert await differences(harness, page=1) == [("wrong_result", "bob", None)]
    assert await differences(harness, "--board", "main") == [("wrong_result", "bob", None)]
