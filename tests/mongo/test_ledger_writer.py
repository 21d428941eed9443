"""The ledger as it is written on a real mongod: complete, in one process at a time, over every fault."""

import asyncio
import logging
import random
import time

import pytest

from tests.mongo.desk import case, open_desk
from tests.support.drivers import DRIVERS
from tests.support.ledger import chains, kinds, problems
from tests.support.wait import eventually
from tornado_app.core.errors import LeaderboardError
from tornado_app.mongo.players import write_marker
from tornado_app.mongo.players.write_marker import Kind, WriteMarker

PATIENCE = 60.0


@pytest.fixture(params=["alone", "tapped"])
def tapped(request):
    """Whether a feed of the same process is there to read with."""
    return request.param == "tapped"


@pytest.fixture(params=DRIVERS)
async def either(request, mongo_database, tapped):
    async with open_desk(*mongo_database, request.param, tapped=tapped) as desk:
        yield desk


@pytest.fixture
async def desk(mongo_database, tapped):
    async with open_desk(*mongo_database, tapped=tapped) as desk:
        yield desk


async def test_ledger_records_actions(either):
    writer = await either.begin()
    await either.score(points=5, action_id="a-1")
    await either.score(points=7)
    await either.whole()
    first, second = chains(either.sync)["alice"]
    assert (first["id"], first["type"], first["frontend"], first["by"]) == ("a-1", "level", "C", "alice")
    assert (second["n"], second["score"], second["prev"]) == (2, 12, first["hash"])
    assert "id" not in second
    assert writer.holds
    await eventually(lambda: writer.lag == 0)


async def test_ledger_records_1000_concurrent_actions_once_each(either):
    await either.begin()
    await asyncio.gather(*(either.score(f"p{n % 37}", n + 1) for n in range(1000)))
    await either.whole()
    assert either.sync["ledger"].count_documents({"kind": "action"}) == 1000


async def test_ledger_records_moderation_with_moderator_and_reason(desk):
    await desk.begin()
    for points in (5, 7, 9):
        await desk.score(points=points, action_id=f"a-{points}")
    await desk.moderation.suspend(case())
    await desk.moderation.reinstate(case())
    await desk.moderation.hide(case())
    await desk.score(points=1)
    await desk.moderation.show(case())
    await desk.moderation.take_back(case(), action_id="a-7", since=None)
    await desk.moderation.take_back(case(), action_id=None, since=0)
    await desk.whole()
    assert kinds(desk.sync, "alice") == [
        ("action", 5), ("action", 7), ("action", 9), ("suspend", 0), ("reinstate", 0), ("hide", 0), ("action", 1),
        ("show", 0), ("take_back", -7), ("take_back", -15),
    ]  # fmt: skip
    moderated = [entry for entry in chains(desk.sync)["alice"] if entry["kind"] != "action"]
    assert {(entry["by"], entry["reason"]) for entry in moderated} == {("mod", "speed hack")}


async def test_ledger_returns_the_actions_that_are_not_reversed(desk):
    await desk.begin()
    for n in range(4):
        await desk.score(points=n + 1, action_id=f"a-{n}")
    await desk.moderation.take_back(case(), action_id="a-1", since=None)
    await desk.whole()

    async def left(player="alice", **which):
        return [action async for page in desk.ledger.actions(player, **which) for action in page]

    entries = {entry.write_id: entry for entry in await desk.ledger.history("alice", 10, None)}
    every = await left()
    assert [(entries[action.write_id].id, action.points) for action in every] == [("a-3", 4), ("a-2", 3), ("a-0", 1)]
    assert await left(since_ms=entries[every[1].write_id].at) == every[:2]
    assert await left(action_id="a-2") == [every[1]]
    assert await left(action_id="a-1") == []
    assert await left("nobody") == []
    assert await desk.ledger.has(every[0].write_id)
    assert not await desk.ledger.has("x")
    with pytest.raises(LeaderboardError):
        await desk.moderation.take_back(case(), action_id="a-1", since=None)


async def test_ledger_history_is_paginated(desk):
    await desk.begin()
    for n in range(7):
        await desk.score(points=n + 1)
    await desk.whole()
    first = await desk.ledger.history("alice", 3, None)
    second = await desk.ledger.history("alice", 3, first[-1].n)
    assert [entry.points for entry in first + second] == [7, 6, 5, 4, 3, 2]
    assert [entry["points"] for entry in await desk.ledger.export("alice")] == [1, 2, 3, 4, 5, 6, 7]


async def test_ledger_keeps_only_the_erasure_of_an_erased_player(desk):
    await desk.begin()
    await desk.score(points=5)
    await desk.score("bob", 3)
    await desk.whole()
    await desk.moderation.erase(case(reason="asked by letter"))
    await eventually(lambda: chains(desk.sync).get(""))
    await desk.whole()
    assert set(chains(desk.sync)) == {"", "bob"}
    (entry,) = chains(desk.sync)[""]
    assert (entry["kind"], entry["by"], entry["reason"], entry["points"]) == ("erase", "mod", "asked by letter", 0)
    assert "alice" not in repr(list(desk.sync["ledger"].find()))


async def test_ledger_starts_a_new_chain_after_an_erasure(desk):
    await desk.begin()
    await desk.score(points=5)
    await desk.moderation.erase(case())
    await desk.score(points=2)
    await desk.moderation.erase(case())
    await desk.score(points=3)
    await desk.whole()
    assert kinds(desk.sync, "alice") == [("action", 3)]
    assert [entry["n"] for entry in chains(desk.sync)[""]] == [1, 2]


async def test_ledger_is_unchanged_when_an_erasure_is_read_again(desk):
    """A crash after it, and the stream is read from before it: nobody's entries come back, nobody's go."""
    first = await desk.begin()
    await desk.score(points=1)
    await desk.whole()
    place = desk.sync["leases"].find_one()["resume_token"]
    await desk.score(points=5)
    await desk.moderation.erase(case())
    await desk.score(points=2)
    await desk.score(points=3)
    await desk.whole()
    before = list(desk.sync["ledger"].find().sort("_id"))
    await desk.abandon(first)
    desk.sync["leases"].update_one({}, {"$set": {"resume_token": place}, "$unset": {"until": ""}})
    await desk.begin()
    await desk.score("bob")
    await desk.whole()
    after = list(desk.sync["ledger"].find({"player": {"$ne": "bob"}}).sort("_id"))
    assert after == before


async def test_ledger_is_unchanged_when_the_stream_is_read_again(desk):
    first = await desk.begin()
    await desk.whole()
    place = desk.sync["leases"].find_one()["resume_token"]
    for n in range(300):
        await desk.score(f"p{n % 7}", n + 1)
    await desk.moderation.hide(case("p1"))
    desk.sync["players"].update_one({"_id": "p2"}, {"$inc": {"score": 1}})
    await desk.score("p2")
    await desk.whole()
    before = list(desk.sync["ledger"].find().sort("_id"))
    await desk.abandon(first)
    desk.sync["leases"].update_one({}, {"$set": {"resume_token": place}, "$unset": {"until": ""}})
    await desk.begin()
    await desk.score("last")
    await desk.whole()
    assert list(desk.sync["ledger"].find({"player": {"$ne": "last"}}).sort("_id")) == before


@pytest.mark.parametrize("lost", range(1, 6))
async def test_ledger_completes_a_partly_stored_batch(desk, lost):
    first = await desk.begin()
    await desk.whole()
    place = desk.sync["leases"].find_one()["resume_token"]
    for n in range(5):
        await desk.score(points=n + 1)
    await desk.whole()
    await desk.abandon(first)
    desk.sync["ledger"].delete_many({"n": {"$gt": 5 - lost}})
    desk.sync["leases"].update_one({}, {"$set": {"resume_token": place}, "$unset": {"until": ""}})
    desk.writer()
    await desk.whole()
    assert [points for _, points in kinds(desk.sync, "alice")] == [1, 2, 3, 4, 5]


# -- what the service did not do ----------------------------------------------------------------------


async def test_ledger_records_an_external_score(desk):
    await desk.begin()
    await desk.score()
    desk.sync["players"].update_one({"_id": "alice"}, {"$set": {"score": 1_000_000}})
    await desk.score()
    await desk.whole()
    assert kinds(desk.sync, "alice") == [("action", 5), ("external", 999_995), ("action", 5)]


async def test_ledger_records_a_deleted_player_as_external(desk):
    await desk.begin()
    await desk.score()
    desk.sync["players"].delete_one({"_id": "alice"})
    await desk.score(points=1)
    await desk.whole()
    assert kinds(desk.sync, "alice") == [("action", 5), ("external", -5), ("action", 1)]


async def test_ledger_continues_after_copied_documents_and_markers(desk, caplog):
    writer = await desk.begin()
    place = desk.sync["leases"].find_one()["resume_token"]
    await desk.score(points=5)
    old = desk.sync["players"].find_one({"_id": "alice"})
    await desk.score(points=7)
    desk.sync["players"].insert_one(old | {"_id": "mallory", "score": 500})
    desk.sync["players"].update_one({"_id": "alice"}, {"$set": {"last": old["last"], "score": 100}})
    await desk.score("bob")
    await eventually(lambda: kinds(desk.sync, "bob") == [("action", 5)])
    for player, own, more in (("mallory", [], 500), ("alice", [("action", 5), ("action", 7)], 88)):
        found = kinds(desk.sync, player)
        assert found[: len(own)] == own
        assert {kind for kind, _ in found[len(own) :]} == {"external"}
        assert sum(points for _, points in found[len(own) :]) == more
    assert "a write marker was copied from another write" in caplog.text
    await desk.abandon(writer)
    before = list(desk.sync["ledger"].find().sort("_id"))
    desk.sync["leases"].update_one({}, {"$set": {"resume_token": place}, "$unset": {"until": ""}})
    desk.writer()
    await desk.score("carol")
    await eventually(lambda: kinds(desk.sync, "carol") == [("action", 5)])
    assert list(desk.sync["ledger"].find({"player": {"$ne": "carol"}}).sort("_id")) == before


async def test_ledger_continues_after_malformed_events_and_entries(desk):
    writer = await desk.begin()
    await desk.score()
    await desk.whole()
    marker = write_marker.encode(WriteMarker(Kind.TAKE_BACK, -1, "x" * 2000, at=10**17, takes_back=["\0"] * 50))
    desk.sync["players"].update_one({"_id": "alice"}, {"$set": {"score": 2**63 - 1, "last": marker}})
    desk.sync["players"].update_one({"_id": "alice"}, {"$set": {"score": -(2**63)}})
    desk.sync["players"].insert_one({"_id": 7, "score": 1})
    desk.sync["players"].insert_one({"_id": "bare"})
    desk.sync["ledger"].update_many({}, {"$set": {"hash": "none", "at": None}})
    await desk.score("bob")
    await eventually(lambda: kinds(desk.sync, "bob") == [("action", 5)])
    assert not writer.task.done()


# -- one at a time ------------------------------------------------------------------------------------


async def test_second_writer_takes_over_from_a_crashed_one(desk):
    first, second = desk.writer(), desk.writer()
    await eventually(lambda: first.holds or second.holds)
    holder, other = (first, second) if first.holds else (second, first)
    await desk.score()
    await desk.whole()
    assert not other.holds
    await desk.abandon(holder)
    await desk.score()
    await desk.whole()
    assert other.holds
    assert desk.sync["leases"].find_one()["term"] == 2


async def test_writer_close_records_pending_actions_and_releases_the_lease(desk):
    first = desk.writer(ttl=60)
    await eventually(lambda: first.holds)
    await asyncio.gather(*(desk.score(f"p{n % 11}", n + 1) for n in range(500)))
    await first.close()
    assert problems(desk.sync) == []
    second = desk.writer(ttl=60)
    await eventually(lambda: second.holds, 5)


async def test_two_concurrent_writers_do_not_fork_the_chain(desk, monkeypatch, caplog):
    """Both believe for some time that the lease is theirs: whoever comes second with an entry gives up."""
    caplog.set_level(logging.WARNING, "leaderboard.ledger")
    one, two = await desk.begin(), desk.writer()
    await desk.score()
    await desk.whole()
    forced = {"on": True}
    for writer in (one, two):
        lease, take = writer.lease, writer.lease.take

        async def both(values=None, lease=lease, take=take):
            state = await take(values)
            if state is not None or not forced["on"]:
                return state
            lease._good_until = time.monotonic() + 1000
            return desk.sync["leases"].find_one({"_id": "ledger"})

        monkeypatch.setattr(lease, "take", both)
    await eventually(lambda: one.holds and two.holds)
    rounds = 0
    async with asyncio.timeout(PATIENCE):
        while rounds < 40 or "the ledger's lease is lost: Fenced" not in caplog.text:
            rounds += 1
            await asyncio.gather(*(desk.score(f"p{random.randrange(5)}", rounds) for _ in range(25)))
    forced["on"] = False
    await desk.whole()
    assert desk.sync["ledger"].count_documents({"kind": "action"}) == 1 + 25 * rounds
    assert desk.sync["ledger"].count_documents({"kind": "external"}) == 0
