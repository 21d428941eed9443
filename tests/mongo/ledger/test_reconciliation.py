"""Reconciliation: the ledger's start on existing players, and its continuation after lost history."""

import asyncio
import logging

import pytest

from tests.support.drivers import DRIVERS
from tests.support.ledger import begin_erasure, chains, kinds, problems
from tests.support.ledger_harness import moderation_request, open_ledger_harness
from tests.support.wait import eventually
from tornado_app.core.ledger import EntryKind
from tornado_app.mongo.ledger import reconciliation
from tornado_app.mongo.players.documents import BALANCE_FIELDS, last_entry

UNUSABLE = {"_data": "00"}
"""A resume token that MongoDB cannot use."""


@pytest.fixture(params=DRIVERS)
async def driver_harness(request, mongo_database):
    async with open_ledger_harness(*mongo_database, request.param, pages=7) as harness:
        yield harness


@pytest.fixture
async def harness(mongo_database):
    async with open_ledger_harness(*mongo_database, pages=7) as harness:
        yield harness


def lose_history(harness, resume_point=UNUSABLE):
    harness.sync["leases"].update_one({}, {"$set": {"resume_point": resume_point}, "$unset": {"until": ""}})


def absent_event(resume_token):
    """The token of an event that never existed: MongoDB reports lost history (280)."""
    return {"_data": resume_token["_data"][:24] + "2B022C0100296E5A1004" + "00" * 16 + "463C5F6964003C62000004"}


async def test_reconciliation_records_existing_players_as_opening(driver_harness):
    for n in range(30):
        await driver_harness.score(f"p{n % 17}", n + 1)
    await driver_harness.start_writer()
    await eventually(lambda: len(chains(driver_harness.sync)) == 17)
    assert kinds(driver_harness.sync, "p3") == [("opening", 4 + 21)]
    await driver_harness.score("p3", 5)
    await driver_harness.score("new", 2)
    await eventually(lambda: kinds(driver_harness.sync, "new"))
    assert kinds(driver_harness.sync, "p3") == [("opening", 25), ("action", 5)]
    assert problems(driver_harness.sync) == []


async def test_ledger_has_the_last_write_before_the_opening(harness):
    await harness.score(action_id="a-1")
    last = last_entry(harness.sync["players"].find_one({}, BALANCE_FIELDS))
    await harness.start_writer()
    await eventually(lambda: kinds(harness.sync, "alice"))
    assert await harness.ledger.has(last.write_id)
    assert [page async for page in harness.ledger.actions("alice", board="main") if page] == []


async def test_reconciliation_under_load_is_complete(harness):
    for n in range(60):
        await harness.score(f"p{n}", 1)
    playing = asyncio.ensure_future(_play(harness))
    await harness.start_writer()
    await playing
    await harness.wait_complete()
    assert harness.sync["ledger"].count_documents({"kind": "external"}) == 0
    assert harness.sync["ledger"].count_documents({"kind": "opening"}) >= 60


async def _play(harness):
    for n in range(60):
        await asyncio.gather(*(harness.score(f"p{m}", 1) for m in range(n, n + 30)))


async def test_reconciliation_that_was_interrupted_is_continued(harness, monkeypatch):
    for n in range(30):
        await harness.score(f"p{n:02}", 1)
    broken = harness.add_writer()
    # The crash is between two batches of the writer's own appender.
    append, appended = broken._appender.append, []

    async def once(entries):
        if appended:
            await asyncio.get_running_loop().create_future()
        appended.append(entries)
        await append(entries)

    monkeypatch.setattr(broken._appender, "append", once)
    await eventually(lambda: len(chains(harness.sync)) == 7)
    for n in range(30):
        await harness.score(f"p{n:02}", 2)
    await harness.crash(broken)
    await harness.start_writer()
    await harness.wait_complete()
    assert kinds(harness.sync, "p00") == [("opening", 1), ("action", 2)]
    assert kinds(harness.sync, "p29") == [("opening", 3)]


async def test_reconciliation_after_lost_history_records_the_differences(driver_harness, caplog):
    first = await driver_harness.start_writer()
    for n in range(20):
        await driver_harness.score(f"p{n:02}", 5)
    await driver_harness.wait_complete()
    await driver_harness.crash(first)
    await driver_harness.score("p03", 7)
    await driver_harness.moderation.suspend(moderation_request("p04"))
    await driver_harness.score("new", 9)
    driver_harness.sync["players"].delete_one({"_id": "p05"})
    lose_history(driver_harness)
    with caplog.at_level(logging.ERROR, "leaderboard.ledger"):
        counted = []
        second = driver_harness.add_writer()
        # The harness starts its writers without a counter.
        second._appender._on_appended = lambda kind, count: counted.append((kind, count))
        await driver_harness.wait_complete()
    assert kinds(driver_harness.sync, "p03") == [("action", 5), ("reconciled", 7)]
    assert kinds(driver_harness.sync, "p04") == [("action", 5), ("reconciled", 0)]
    assert kinds(driver_harness.sync, "p05") == [("action", 5), ("reconciled", -5)]
    assert kinds(driver_harness.sync, "new") == [("reconciled", 9)]
    assert kinds(driver_harness.sync, "p06") == [("action", 5)]
    # an entry is counted once it is known to be stored, which is after it can be read
    await eventually(lambda: sum(count for kind, count in counted if kind is EntryKind.RECONCILED) == 4)
    assert "cannot be used" in caplog.text
    await driver_harness.score("p03", 1)
    await eventually(lambda: kinds(driver_harness.sync, "p03")[-1] == ("action", 1))


@pytest.mark.parametrize(
    "resume_point",
    [absent_event, {"_data": ""}, {"_data": "82"}, {"_data": 5}, {}, "x", 7, None],
    ids=lambda value: getattr(value, "__name__", None) or repr(value),
)
async def test_reconciliation_after_lost_history_without_a_difference_adds_nothing(harness, resume_point):
    first = await harness.start_writer()
    for n in range(20):
        await harness.score(f"p{n:02}", 5)
    await harness.wait_complete()
    with harness.sync.watch() as stream:
        token = stream.resume_token
    await harness.crash(first)
    resume_point = resume_point(token) if callable(resume_point) else resume_point
    lose_history(harness, resume_point)
    harness.add_writer()
    await eventually(lambda: harness.sync["leases"].find_one()["resume_point"] not in (resume_point, None))
    await harness.score("p00", 1)
    await harness.wait_complete()
    assert harness.sync["ledger"].count_documents({"kind": {"$ne": "action"}}) == 0


async def test_reconciliation_after_a_dropped_collection_records_the_differences(harness):
    await harness.start_writer()
    for n in range(10):
        await harness.score(f"p{n}", 5)
    await harness.wait_complete()
    harness.sync["players"].drop()
    await harness.score("p1", 3)
    await harness.wait_complete()
    assert kinds(harness.sync, "p0") == [("action", 5), ("reconciled", -5)]
    assert kinds(harness.sync, "p1") in (
        [("action", 5), ("reconciled", -2)],
        [("action", 5), ("reconciled", -5), ("action", 3)],
    )


async def test_reconciliation_records_an_erasure_whose_event_was_lost(harness):
    """The history entry is stored, its event is lost, and the delete has not happened."""
    first = await harness.start_writer()
    await harness.score(points=5)
    await harness.wait_complete()
    await harness.crash(first)
    begin_erasure(harness.sync, "alice")
    lose_history(harness)
    harness.add_writer()
    await eventually(lambda: chains(harness.sync).get(""))
    assert set(chains(harness.sync)) == {""}
    assert kinds(harness.sync, "") == [("erase", 0)]


@pytest.mark.parametrize("collection", ["players", "ledger"])
async def test_ledger_continues_beside_malformed_documents(harness, collection):
    """Malformed documents in either collection."""
    harness.sync["players"].insert_many([{"_id": n} for n in (1, 2.5, "odd", "", None)])
    harness.sync["players"].insert_one({"_id": "text", "score": "9", "seq": 4, "h": 4})
    if collection == "ledger":
        harness.sync["ledger"].insert_many([{"player": "odd", "n": 1}, {"player": "text", "n": "x"}, {"x": 1}])
    writer = await harness.start_writer()
    await harness.score()
    await eventually(lambda: kinds(harness.sync, "alice") == [("action", 5)])
    assert not writer.task.done()


async def test_reconciliation_records_inserted_players_as_opening(driver_harness):
    """Players without a history: with a score, with zero, with a malformed score."""
    scores = {"ann": 7, "bob": 0, "cat": -3, "dan": 2**62, "odd": "9"}
    driver_harness.sync["players"].insert_many([{"_id": name, "score": score} for name, score in scores.items()])
    await driver_harness.start_writer()
    await eventually(lambda: len(chains(driver_harness.sync)) == 4)
    assert {name: kinds(driver_harness.sync, name) for name in scores} == {
        name: [("opening", score)] if score != "9" else [] for name, score in scores.items()
    }
    await driver_harness.score("bob", 5)
    await eventually(lambda: kinds(driver_harness.sync, "bob") == [("opening", 0), ("action", 5)])


async def test_begin_without_players_records_the_first_actions_as_actions(driver_harness):
    for _ in range(2):
        await reconciliation.begin_without_players(driver_harness.client, driver_harness.name)
    await driver_harness.score(points=5)
    await driver_harness.score(points=2)
    await driver_harness.start_writer()
    await eventually(lambda: kinds(driver_harness.sync, "alice") == [("action", 5), ("action", 2)])
    taken = await driver_harness.moderation.take_back(moderation_request(), action_id=None, since=0)
    assert taken.points == 7
    await driver_harness.wait_complete()


@pytest.mark.parametrize("collection", ["players", "ledger", "leases"])
async def test_begin_without_players_does_not_change_a_database_with_data(harness, collection):
    document = {"_id": "ledger", "term": 3} if collection == "leases" else {"_id": "alice"}
    harness.sync[collection].insert_one(document)
    await reconciliation.begin_without_players(harness.client, harness.name)
    assert list(harness.sync["leases"].find()) == ([document] if collection == "leases" else [])
