"""The ledger writer on a real mongod: complete over every fault, one writer at a time."""

import asyncio
import logging
import random
import time
from datetime import UTC, datetime

import pytest

from tests.support.drivers import DRIVERS
from tests.support.ledger import chains, kinds, problems, recomputed
from tests.support.ledger_harness import moderation_request, open_ledger_harness
from tests.support.wait import eventually
from tornado_app.core.errors import LeaderboardError
from tornado_app.core.history import HistoryEntry, WriteKind, encode

PATIENCE = 60.0


@pytest.fixture(params=["alone", "with feed"])
def with_feed(request):
    """Whether the writer shares the change stream of a feed in the same process."""
    return request.param == "with feed"


@pytest.fixture(params=DRIVERS)
async def driver_harness(request, mongo_database, with_feed):
    async with open_ledger_harness(*mongo_database, request.param, with_feed=with_feed) as harness:
        yield harness


@pytest.fixture
async def harness(mongo_database, with_feed):
    async with open_ledger_harness(*mongo_database, with_feed=with_feed) as harness:
        yield harness


async def test_ledger_records_actions(driver_harness):
    writer = await driver_harness.start_writer()
    await driver_harness.score(points=5, action_id="a-1")
    await driver_harness.score(points=7)
    await driver_harness.wait_complete()
    first, second = chains(driver_harness.sync)["alice"]
    assert (first["id"], first["type"], first["frontend"], first["by"]) == ("a-1", "level", "C", "alice")
    assert (second["n"], second["score"], second["hash"]) == (2, 12, recomputed(second, first["hash"]))
    assert "id" not in second
    assert writer.holds
    await eventually(lambda: writer.lag == 0)


async def test_ledger_records_1000_concurrent_actions_once_each(driver_harness):
    await driver_harness.start_writer()
    await asyncio.gather(*(driver_harness.score(f"p{n % 37}", n + 1) for n in range(1000)))
    await driver_harness.wait_complete()
    assert driver_harness.sync["ledger"].count_documents({"kind": "action"}) == 1000


async def test_ledger_records_each_folded_action_of_a_backfilled_player(driver_harness):
    """MongoDB reports the first history of a document as one member."""
    await driver_harness.start_writer()
    driver_harness.sync["players"].insert_one({"_id": "bob", "score": 100, "updatedAt": datetime.now(UTC)})
    await asyncio.gather(*(driver_harness.score("bob", points) for points in (1, 2, 3)))
    assert driver_harness.sync["players"].find_one({"_id": "bob"})["seq"] == 4
    await driver_harness.wait_complete()
    found = kinds(driver_harness.sync, "bob")
    assert (found[0], sorted(found[1:])) == (("external", 100), [("action", 1), ("action", 2), ("action", 3)])


async def test_ledger_records_moderation_with_moderator_and_reason(harness):
    await harness.start_writer()
    for points in (5, 7, 9):
        await harness.score(points=points, action_id=f"a-{points}")
    await harness.moderation.suspend(moderation_request())
    await harness.moderation.reinstate(moderation_request())
    await harness.moderation.hide(moderation_request())
    await harness.score(points=1)
    await harness.moderation.show(moderation_request())
    await harness.moderation.take_back(moderation_request(), action_id="a-7", since=None)
    await harness.moderation.take_back(moderation_request(), action_id=None, since=0)
    await harness.wait_complete()
    assert kinds(harness.sync, "alice") == [
        ("action", 5), ("action", 7), ("action", 9), ("suspend", 0), ("reinstate", 0), ("hide", 0), ("action", 1),
        ("show", 0), ("take_back", -7), ("take_back", -15),
    ]  # fmt: skip
    moderated = [entry for entry in chains(harness.sync)["alice"] if entry["kind"] != "action"]
    assert {(entry["by"], entry["reason"]) for entry in moderated} == {("mod", "speed hack")}


async def test_ledger_returns_the_actions_that_are_not_reversed(harness):
    await harness.start_writer()
    for n in range(4):
        await harness.score(points=n + 1, action_id=f"a-{n}")
    await harness.moderation.take_back(moderation_request(), action_id="a-1", since=None)
    await harness.wait_complete()

    async def left(player="alice", **which):
        return [action async for page in harness.ledger.actions(player, board="main", **which) for action in page]

    entries = {entry.write_id: entry for entry in await harness.ledger.history("alice", 10, None, board="main")}
    every = await left()
    assert [(entries[action.write_id].id, action.points) for action in every] == [("a-3", 4), ("a-2", 3), ("a-0", 1)]
    assert await left(since_ms=entries[every[1].write_id].at) == every[:2]
    assert await left(action_id="a-2") == [every[1]]
    assert await left(action_id="a-1") == []
    assert await left("nobody") == []
    assert await harness.ledger.has(every[0].write_id)
    assert not await harness.ledger.has("x")
    with pytest.raises(LeaderboardError):
        await harness.moderation.take_back(moderation_request(), action_id="a-1", since=None)


async def test_ledger_history_is_paginated(harness):
    await harness.start_writer()
    for n in range(7):
        await harness.score(points=n + 1)
    await harness.wait_complete()
    # The ledger is read at majority, a little later than the check above.
    await eventually(lambda: harness.ledger.history("alice", 7, None, board="main"))
    first = await harness.ledger.history("alice", 3, None, board="main")
    second = await harness.ledger.history("alice", 3, first[-1].n, board="main")
    assert [entry.points for entry in first + second] == [7, 6, 5, 4, 3, 2]
    assert [entry["points"] for entry in await harness.ledger.export("alice")] == [1, 2, 3, 4, 5, 6, 7]


async def test_ledger_keeps_only_the_erasure_of_an_erased_player(harness):
    await harness.start_writer()
    await harness.score(points=5)
    await harness.score("bob", 3)
    await harness.wait_complete()
    await harness.moderation.erase(moderation_request(reason="asked by letter"))
    await eventually(lambda: chains(harness.sync).get(""))
    await harness.wait_complete()
    assert set(chains(harness.sync)) == {"", "bob"}
    (entry,) = chains(harness.sync)[""]
    assert (entry["kind"], entry["by"], entry["reason"], entry["points"]) == ("erase", "mod", "asked by letter", 0)
    assert "alice" not in repr(list(harness.sync["ledger"].find()))


async def test_ledger_starts_a_new_chain_after_an_erasure(harness):
    await harness.start_writer()
    await harness.score(points=5)
    await harness.moderation.erase(moderation_request())
    await harness.score(points=2)
    await harness.moderation.erase(moderation_request())
    await harness.score(points=3)
    await harness.wait_complete()
    assert kinds(harness.sync, "alice") == [("action", 3)]
    assert [entry["n"] for entry in chains(harness.sync)[""]] == [1, 2]


async def test_ledger_is_unchanged_when_an_erasure_is_read_again(harness):
    """After a crash the stream is read from before the erasure: no entry comes back, none is lost."""
    first = await harness.start_writer()
    await harness.score(points=1)
    await harness.wait_complete()
    resume_point = harness.sync["leases"].find_one()["resume_point"]
    await harness.score(points=5)
    await harness.moderation.erase(moderation_request())
    await harness.score(points=2)
    await harness.score(points=3)
    await harness.wait_complete()
    before = list(harness.sync["ledger"].find().sort("_id"))
    await harness.crash(first)
    harness.sync["leases"].update_one({}, {"$set": {"resume_point": resume_point}, "$unset": {"until": ""}})
    await harness.start_writer()
    await harness.score("bob")
    await harness.wait_complete()
    after = list(harness.sync["ledger"].find({"player": {"$ne": "bob"}}).sort("_id"))
    assert after == before


async def test_ledger_is_unchanged_when_the_stream_is_read_again(harness):
    first = await harness.start_writer()
    await harness.wait_complete()
    resume_point = harness.sync["leases"].find_one()["resume_point"]
    for n in range(300):
        await harness.score(f"p{n % 7}", n + 1)
    await harness.moderation.hide(moderation_request("p1"))
    harness.sync["players"].update_one({"_id": "p2"}, {"$inc": {"score": 1}})
    await harness.score("p2")
    await harness.wait_complete()
    before = list(harness.sync["ledger"].find().sort("_id"))
    await harness.crash(first)
    harness.sync["leases"].update_one({}, {"$set": {"resume_point": resume_point}, "$unset": {"until": ""}})
    await harness.start_writer()
    await harness.score("last")
    await harness.wait_complete()
    assert list(harness.sync["ledger"].find({"player": {"$ne": "last"}}).sort("_id")) == before


@pytest.mark.parametrize("lost", range(1, 6))
async def test_ledger_completes_a_partly_stored_batch(harness, lost):
    first = await harness.start_writer()
    await harness.wait_complete()
    resume_point = harness.sync["leases"].find_one()["resume_point"]
    for n in range(5):
        await harness.score(points=n + 1)
    await harness.wait_complete()
    await harness.crash(first)
    harness.sync["ledger"].delete_many({"n": {"$gt": 5 - lost}})
    harness.sync["leases"].update_one({}, {"$set": {"resume_point": resume_point}, "$unset": {"until": ""}})
    harness.add_writer()
    await harness.wait_complete()
    assert [points for _, points in kinds(harness.sync, "alice")] == [1, 2, 3, 4, 5]


# -- external writes ----------------------------------------------------------------------------------


async def test_ledger_records_an_external_score(harness):
    await harness.start_writer()
    await harness.score()
    harness.sync["players"].update_one({"_id": "alice"}, {"$set": {"score": 1_000_000}})
    await harness.score()
    await harness.wait_complete()
    assert kinds(harness.sync, "alice") == [("action", 5), ("external", 999_995), ("action", 5)]


async def test_ledger_records_a_deleted_player_as_external(harness):
    await harness.start_writer()
    await harness.score()
    harness.sync["players"].delete_one({"_id": "alice"})
    await harness.score(points=1)
    await harness.wait_complete()
    assert kinds(harness.sync, "alice") == [("action", 5), ("external", -5), ("action", 1)]


async def test_ledger_continues_after_copied_documents_and_history_entries(harness, caplog):
    writer = await harness.start_writer()
    resume_point = harness.sync["leases"].find_one()["resume_point"]
    await harness.score(points=5)
    old = harness.sync["players"].find_one({"_id": "alice"})
    await harness.score(points=7)
    harness.sync["players"].insert_one(old | {"_id": "mallory", "score": 500})
    harness.sync["players"].update_one({"_id": "alice"}, {"$set": {"seq": 3, "h.3": old["h"]["1"], "score": 100}})
    await harness.score("bob")
    await eventually(lambda: kinds(harness.sync, "bob") == [("action", 5)])
    for player, own, more in (("mallory", [], 500), ("alice", [("action", 5), ("action", 7)], 88)):
        found = kinds(harness.sync, player)
        assert found[: len(own)] == own
        assert {kind for kind, _ in found[len(own) :]} == {"external"}
        assert sum(points for _, points in found[len(own) :]) == more
    assert "a history entry was copied from another write" in caplog.text
    await harness.crash(writer)
    before = list(harness.sync["ledger"].find().sort("_id"))
    harness.sync["leases"].update_one({}, {"$set": {"resume_point": resume_point}, "$unset": {"until": ""}})
    harness.add_writer()
    await harness.score("carol")
    await eventually(lambda: kinds(harness.sync, "carol") == [("action", 5)])
    assert list(harness.sync["ledger"].find({"player": {"$ne": "carol"}}).sort("_id")) == before


async def test_ledger_continues_after_malformed_events_and_entries(harness):
    writer = await harness.start_writer()
    await harness.score()
    await harness.wait_complete()
    entry = encode(HistoryEntry(WriteKind.TAKE_BACK, -1, "x" * 2000, at=10**17, takes_back=["\0"] * 50))
    harness.sync["players"].update_one({"_id": "alice"}, {"$set": {"score": 2**63 - 1, "seq": 2, "h.2": entry}})
    harness.sync["players"].update_one({"_id": "alice"}, {"$set": {"score": -(2**63)}})
    harness.sync["players"].insert_one({"_id": 7, "score": 1})
    harness.sync["players"].insert_one({"_id": "bare"})
    harness.sync["ledger"].update_many({}, {"$set": {"hash": "none", "at": None}})
    await harness.score("bob")
    await eventually(lambda: kinds(harness.sync, "bob") == [("action", 5)])
    assert not writer.task.done()


# -- one writer ---------------------------------------------------------------------------------------


async def test_second_writer_takes_over_from_a_crashed_one(harness):
    first, second = harness.add_writer(), harness.add_writer()
    await eventually(lambda: first.holds or second.holds)
    holder, other = (first, second) if first.holds else (second, first)
    await harness.score()
    await harness.wait_complete()
    assert not other.holds
    await harness.crash(holder)
    await harness.score()
    await harness.wait_complete()
    assert other.holds
    assert harness.sync["leases"].find_one()["term"] == 2


async def test_writer_close_records_pending_actions_and_releases_the_lease(harness):
    first = harness.add_writer(ttl=60)
    await eventually(lambda: first.holds)
    await asyncio.gather(*(harness.score(f"p{n % 11}", n + 1) for n in range(500)))
    await first.close()
    assert problems(harness.sync) == []
    second = harness.add_writer(ttl=60)
    await eventually(lambda: second.holds, 5)


async def test_two_concurrent_writers_do_not_fork_the_chain(harness, monkeypatch, caplog):
    """Both writers assume for some time that they hold the lease; the second to write an entry gives up."""
    caplog.set_level(logging.WARNING, "leaderboard.ledger")
    one, two = await harness.start_writer(), harness.add_writer()
    await harness.score()
    await harness.wait_complete()
    forced = {"on": True}
    for writer in (one, two):
        lease, take = writer.lease, writer.lease.take

        async def both(values=None, lease=lease, take=take):
            state = await take(values)
            if state is not None or not forced["on"]:
                return state
            # A writer that is wrong about its lease: the lease itself never makes that mistake.
            lease._good_until = time.monotonic() + 1000
            return harness.sync["leases"].find_one({"_id": "ledger"})

        monkeypatch.setattr(lease, "take", both)
    await eventually(lambda: one.holds and two.holds)
    rounds = 0
    async with asyncio.timeout(PATIENCE):
        while rounds < 40 or "the ledger's lease is lost: Fenced" not in caplog.text:
            rounds += 1
            await asyncio.gather(*(harness.score(f"p{random.randrange(5)}", rounds) for _ in range(25)))
    forced["on"] = False
    await harness.wait_complete()
    assert harness.sync["ledger"].count_documents({"kind": "action"}) == 1 + 25 * rounds
    assert harness.sync["ledger"].count_documents({"kind": "external"}) == 0
