"""How the ledger begins on players that are there, and goes on when the change stream's history is lost."""

import asyncio
import logging

import pytest

from tests.mongo.desk import case, open_desk
from tests.support.drivers import DRIVERS
from tests.support.ledger import chains, kinds, problems
from tests.support.wait import eventually
from tornado_app.core.ledger import EntryKind
from tornado_app.mongo.ledger import reconciliation

UNUSABLE = {"_data": "00"}
"""A place that MongoDB can't find."""


@pytest.fixture(params=DRIVERS)
async def either(request, mongo_database):
    async with open_desk(*mongo_database, request.param, pages=7) as desk:
        yield desk


@pytest.fixture
async def desk(mongo_database):
    async with open_desk(*mongo_database, pages=7) as desk:
        yield desk


def lose_history(desk, place=UNUSABLE):
    desk.sync["leases"].update_one({}, {"$set": {"resume_token": place}, "$unset": {"until": ""}})


def elsewhere(place):
    """The token of an event that there never was: the history "is lost" (280)."""
    return {"_data": place["_data"][:24] + "2B022C0100296E5A1004" + "00" * 16 + "463C5F6964003C62000004"}


async def test_reconciliation_records_existing_players_as_opening(either):
    for n in range(30):
        await either.score(f"p{n % 17}", n + 1)
    await either.begin()
    await eventually(lambda: len(chains(either.sync)) == 17)
    assert kinds(either.sync, "p3") == [("opening", 4 + 21)]
    await either.score("p3", 5)
    await either.score("new", 2)
    await eventually(lambda: kinds(either.sync, "new"))
    assert kinds(either.sync, "p3") == [("opening", 25), ("action", 5)]
    assert problems(either.sync) == []


async def test_ledger_has_the_last_write_before_the_opening(desk):
    await desk.score(action_id="a-1")
    marker = desk.sync["players"].find_one()["last"]
    await desk.begin()
    await eventually(lambda: kinds(desk.sync, "alice"))
    assert await desk.ledger.has(marker.split('"')[3])
    assert [page async for page in desk.ledger.actions("alice") if page] == []


async def test_reconciliation_under_load_is_complete(desk):
    for n in range(60):
        await desk.score(f"p{n}", 1)
    playing = asyncio.ensure_future(_play(desk))
    await desk.begin()
    await playing
    await desk.whole()
    assert desk.sync["ledger"].count_documents({"kind": "external"}) == 0
    assert desk.sync["ledger"].count_documents({"kind": "opening"}) >= 60


async def _play(desk):
    for n in range(60):
        await asyncio.gather(*(desk.score(f"p{m}", 1) for m in range(n, n + 30)))


async def test_reconciliation_that_was_interrupted_is_continued(desk, monkeypatch):
    for n in range(30):
        await desk.score(f"p{n:02}", 1)
    broken = desk.writer()
    append, appended = broken._appender.append, []

    async def once(entries):
        if appended:
            await asyncio.get_running_loop().create_future()
        appended.append(entries)
        await append(entries)

    monkeypatch.setattr(broken._appender, "append", once)
    await eventually(lambda: len(chains(desk.sync)) == 7)
    for n in range(30):
        await desk.score(f"p{n:02}", 2)
    await desk.abandon(broken)
    await desk.begin()
    await desk.whole()
    assert kinds(desk.sync, "p00") == [("opening", 1), ("action", 2)]
    assert kinds(desk.sync, "p29") == [("opening", 3)]


async def test_reconciliation_after_lost_history_records_the_differences(either, caplog):
    first = await either.begin()
    for n in range(20):
        await either.score(f"p{n:02}", 5)
    await either.whole()
    await either.abandon(first)
    await either.score("p03", 7)
    await either.moderation.suspend(case("p04"))
    await either.score("new", 9)
    either.sync["players"].delete_one({"_id": "p05"})
    lose_history(either)
    with caplog.at_level(logging.ERROR, "leaderboard.ledger"):
        counted = []
        second = either.writer()
        second._appender._on_appended = lambda kind, count: counted.append((kind, count))
        await either.whole()
    assert kinds(either.sync, "p03") == [("action", 5), ("reconciled", 7)]
    assert kinds(either.sync, "p04") == [("action", 5), ("reconciled", 0)]
    assert kinds(either.sync, "p05") == [("action", 5), ("reconciled", -5)]
    assert kinds(either.sync, "new") == [("reconciled", 9)]
    assert kinds(either.sync, "p06") == [("action", 5)]
    # an entry is counted once it is known to be stored, which is after it can be read
    await eventually(lambda: sum(count for kind, count in counted if kind is EntryKind.RECONCILED) == 4)
    assert "cannot be used" in caplog.text
    await either.score("p03", 1)
    await eventually(lambda: kinds(either.sync, "p03")[-1] == ("action", 1))


@pytest.mark.parametrize(
    "place",
    [elsewhere, {"_data": ""}, {"_data": "82"}, {"_data": 5}, {}, "x", 7, None],
    ids=lambda place: getattr(place, "__name__", None) or repr(place),
)
async def test_reconciliation_after_lost_history_without_a_difference_adds_nothing(desk, place):
    first = await desk.begin()
    for n in range(20):
        await desk.score(f"p{n:02}", 5)
    await desk.whole()
    token = (await eventually(lambda: desk.sync["leases"].find_one({"resume_token": {"$type": "object"}})))[
        "resume_token"
    ]
    await desk.abandon(first)
    place = place(token) if callable(place) else place
    lose_history(desk, place)
    desk.writer()
    await eventually(lambda: desk.sync["leases"].find_one()["resume_token"] not in (place, None))
    await desk.score("p00", 1)
    await desk.whole()
    assert desk.sync["ledger"].count_documents({"kind": {"$ne": "action"}}) == 0


async def test_reconciliation_after_a_dropped_collection_records_the_differences(desk):
    await desk.begin()
    for n in range(10):
        await desk.score(f"p{n}", 5)
    await desk.whole()
    desk.sync["players"].drop()
    await desk.score("p1", 3)
    await desk.whole()
    assert kinds(desk.sync, "p0") == [("action", 5), ("reconciled", -5)]
    assert kinds(desk.sync, "p1") in (
        [("action", 5), ("reconciled", -2)],
        [("action", 5), ("reconciled", -5), ("action", 3)],
    )


async def test_reconciliation_records_an_erasure_whose_event_was_lost(desk):
    """The marker is there, its event is lost, and the delete did not come."""
    first = await desk.begin()
    await desk.score(points=5)
    await desk.whole()
    await desk.abandon(first)
    marker = '["e",5,"e.1",true,1800000000000,"mod",null,null,"","asked",[]]'
    desk.sync["players"].update_one({"_id": "alice"}, {"$set": {"hidden": True, "suspended": True, "last": marker}})
    lose_history(desk)
    desk.writer()
    await eventually(lambda: chains(desk.sync).get(""))
    assert set(chains(desk.sync)) == {""}
    assert kinds(desk.sync, "") == [("erase", 0)]


@pytest.mark.parametrize("what", ["players", "ledger"])
async def test_ledger_continues_beside_malformed_documents(desk, what):
    """Documents that nobody of ours wrote, in either collection."""
    desk.sync["players"].insert_many([{"_id": n} for n in (1, 2.5, "odd", "", None)])
    desk.sync["players"].insert_one({"_id": "text", "score": "9", "last": 4})
    if what == "ledger":
        desk.sync["ledger"].insert_many([{"player": "odd", "n": 1}, {"player": "text", "n": "x"}, {"x": 1}])
    writer = await desk.begin()
    await desk.score()
    await eventually(lambda: kinds(desk.sync, "alice") == [("action", 5)])
    assert not writer.task.done()


async def test_reconciliation_records_inserted_players_as_opening(either):
    """Not by the service, so without a marker: with a score, without one point, with what is no score."""
    scores = {"ann": 7, "bob": 0, "cat": -3, "dan": 2**62, "odd": "9"}
    either.sync["players"].insert_many([{"_id": name, "score": score} for name, score in scores.items()])
    await either.begin()
    await eventually(lambda: len(chains(either.sync)) == 4)
    assert {name: kinds(either.sync, name) for name in scores} == {
        name: [("opening", score)] if score != "9" else [] for name, score in scores.items()
    }
    await either.score("bob", 5)
    await eventually(lambda: kinds(either.sync, "bob") == [("opening", 0), ("action", 5)])


async def test_begin_without_players_records_the_first_actions_as_actions(either):
    for _ in range(2):
        await reconciliation.begin_without_players(either.client, either.name)
    await either.score(points=5)
    await either.score(points=2)
    await either.begin()
    await eventually(lambda: kinds(either.sync, "alice") == [("action", 5), ("action", 2)])
    taken = await either.moderation.take_back(case(), action_id=None, since=0)
    assert taken.points == 7
    await either.whole()


@pytest.mark.parametrize("what", ["players", "ledger", "leases"])
async def test_begin_without_players_does_not_change_a_database_with_data(desk, what):
    there = {"_id": "ledger", "term": 3} if what == "leases" else {"_id": "somebody"}
    desk.sync[what].insert_one(there)
    await reconciliation.begin_without_players(desk.client, desk.name)
    assert list(desk.sync["leases"].find()) == ([there] if what == "leases" else [])
