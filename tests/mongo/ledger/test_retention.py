"""Folding of old ledger entries, on a real mongod: the audit proves every score before, during and after it."""

import asyncio
import random
from uuid import uuid4

import pytest
from bson import Binary, Timestamp
from pymongo.errors import PyMongoError

from tests.support.audit import audited, differences
from tests.support.drivers import DRIVERS
from tests.support.fail_points import failing_commands
from tests.support.ledger import chains, kinds, problems, recomputed
from tests.support.ledger_harness import moderation_request, open_ledger_harness
from tests.support.service import RunningService, token
from tests.support.wait import eventually, wait_until
from tornado_app.core.errors import ActionNotFound
from tornado_app.mongo.ledger import retention
from tornado_app.mongo.ledger.lease import Lease
from tornado_app.mongo.ledger.retention import Retention

PLAYERS = ("alice", "bob", "carol")
EVERYTHING = 2**53
"""A version after all entries."""


@pytest.fixture(params=DRIVERS)
async def driver_harness(request, mongo_database):
    async with open_ledger_harness(*mongo_database, request.param) as harness:
        await fill(harness)
        yield harness


@pytest.fixture
async def harness(mongo_database):
    async with open_ledger_harness(*mongo_database) as harness:
        await fill(harness)
        yield harness


async def fill(harness):
    """Three players with ten recorded entries each, and a running writer."""
    await harness.start_writer()
    for n in range(30):
        await harness.score(PLAYERS[n % 3], n + 1, f"a-{n}")
    await harness.wait_complete()


async def retention_of(harness, seconds=0.0):
    """With a lease of its own: on a busy machine, that of a second is too short for a step."""
    database = harness.client[harness.name]
    lease = Lease(database, f"retention-{uuid4()}", ttl=600.0)
    await lease.take()
    return Retention(database, database["ledger"], lease, seconds)


async def fold(harness, before=EVERYTHING):
    """Fold what is older than a version; the number of removed entries."""
    return await (await retention_of(harness)).fold_before(before)


def numbers(harness, player):
    return [entry["n"] for entry in chains(harness.sync).get(player, [])]


def version_of(harness, player, n):
    return harness.sync["ledger"].find_one({"player": player, "n": n})["version"]


async def test_fold_leaves_one_entry_with_the_sum_of_the_older_ones(driver_harness):
    before = chains(driver_harness.sync)["bob"]
    assert await fold(driver_harness) == 27
    (last,) = chains(driver_harness.sync)["bob"]
    assert last == before[-1] | {"checkpoint": before[-2]["hash"]}
    assert problems(driver_harness.sync) == []
    code, lines = await audited(driver_harness)
    assert (code, lines[-1]["entries"], lines[-1]["folded"]) == (0, 3, 27)


async def test_fold_keeps_newer_entries_and_continues_at_the_checkpoint(harness):
    assert await fold(harness, version_of(harness, "bob", 4)) == 2 + 2 + 3
    assert numbers(harness, "bob") == [3, 4, 5, 6, 7, 8, 9, 10]
    assert await fold(harness, version_of(harness, "bob", 4)) == 0
    assert await fold(harness, version_of(harness, "bob", 9)) == 5 + 5 + 5
    assert numbers(harness, "bob") == [8, 9, 10]
    await harness.score("bob", 5)
    await harness.wait_complete()
    assert numbers(harness, "bob") == [8, 9, 10, 11]
    assert await differences(harness) == []


async def test_fold_keeps_entries_within_the_retention(harness):
    assert await (await retention_of(harness, 3600.0)).fold_all() == 0
    assert await (await retention_of(harness, -3600.0)).fold_all() == 27


async def test_fold_of_a_long_chain_takes_bounded_steps(harness, monkeypatch):
    monkeypatch.setattr(retention, "STEP", 4)
    monkeypatch.setattr(retention, "GROUP", 5)
    monkeypatch.setattr(retention, "PAGE", 2)
    monkeypatch.setattr(retention, "WORK", 0.0)
    assert await fold(harness) == 27
    assert [numbers(harness, player) for player in PLAYERS] == [[10], [10], [10]]
    assert await differences(harness) == []


async def test_fold_keeps_the_last_write_before_external_changes(harness):
    harness.sync["players"].update_one({"_id": "bob"}, {"$inc": {"score": 7}})
    await eventually(lambda: len(kinds(harness.sync, "bob")) == 11)
    assert await fold(harness) == 27
    assert numbers(harness, "bob") == [10, 11]
    assert problems(harness.sync) == []
    assert await differences(harness) == [("external", "bob", 11)]


async def test_fold_keeps_the_opening_entry_of_a_player_without_a_marker(harness):
    await harness.crash(harness.running[0])
    harness.sync["ledger"].drop()
    harness.sync["leases"].drop()
    harness.sync["players"].insert_one({"_id": "zoe", "score": 5})
    await harness.start_writer()
    await eventually(lambda: kinds(harness.sync, "zoe") == [("opening", 5)])
    harness.sync["players"].update_one({"_id": "zoe"}, {"$inc": {"score": 1}})
    await eventually(lambda: kinds(harness.sync, "zoe") == [("opening", 5), ("external", 1)])
    assert await fold(harness) == 0
    assert await differences(harness) == [("external", "zoe", 2)]


async def test_fold_after_many_external_changes_continues(harness, monkeypatch):
    monkeypatch.setattr(retention, "STEP", 2)
    for points in (7, 8, 9):
        harness.sync["players"].update_one({"_id": "bob"}, {"$inc": {"score": points}})
        await eventually(lambda points=points: ("external", points) in kinds(harness.sync, "bob"))
    assert await fold(harness, version_of(harness, "bob", 11)) == 27
    await harness.score("bob")
    await harness.wait_complete()
    assert numbers(harness, "bob") == [10, 11, 12, 13, 14]
    assert await fold(harness) == 4
    assert numbers(harness, "bob") == [14]
    assert problems(harness.sync) == []


async def test_player_of_external_changes_only_is_reported_and_not_folded(harness, monkeypatch, caplog):
    monkeypatch.setattr(retention, "STEP", 2)
    monkeypatch.setattr(retention, "FOLD_WINDOW", 3)
    for points in (7, 8, 9):
        harness.sync["players"].update_one({"_id": "bob"}, {"$inc": {"score": points}})
        await eventually(lambda points=points: ("external", points) in kinds(harness.sync, "bob"))
    assert await fold(harness) == 27
    assert numbers(harness, "bob") == [10, 11, 12, 13]
    assert "cannot be folded" in caplog.text


async def test_entry_that_cannot_be_matched_does_not_stop_the_other_players(harness, monkeypatch):
    monkeypatch.setattr(retention, "STEP", 4)
    for entry in chains(harness.sync)["alice"]:  # a query for the bytes of the hash does not find this type
        changed = {"$set": {"hash": Binary(entry["hash"], 5)}}
        harness.sync["ledger"].update_one({"_id": entry["_id"]}, changed)
    assert await fold(harness) == 18
    assert [len(numbers(harness, player)) for player in PLAYERS] == [10, 1, 1]
    assert await fold(harness) == 0


async def test_fold_with_a_cluster_clock_ahead_keeps_entries_within_the_retention(harness, monkeypatch):
    async def ahead(database):
        return Timestamp(2**31, 1)

    monkeypatch.setattr(retention, "cluster_time", ahead)
    assert await (await retention_of(harness, 3600.0)).fold_all() == 0


async def test_chain_with_a_fault_is_not_folded(harness, caplog):
    harness.sync["ledger"].update_one({"player": "alice", "n": 4}, {"$inc": {"points": 1}})
    harness.sync["ledger"].delete_one({"player": "bob", "n": 1})
    found = await differences(harness)
    assert await fold(harness) == 9
    assert await differences(harness) == found
    assert (numbers(harness, "alice"), numbers(harness, "bob")) == (list(range(1, 11)), list(range(2, 11)))
    assert "ledger chains with faults are not folded" in caplog.text


async def test_fold_that_breaks_off_after_its_checkpoints_is_continued(harness, replica_set):
    async with failing_commands(replica_set, "delete", until=1, errorCode=11601):
        with pytest.raises(PyMongoError):
            await fold(harness)
    assert [entry["n"] for entry in harness.sync["ledger"].find({"checkpoint": {"$exists": True}})] == [10, 10, 10]
    assert await differences(harness) == []
    harness.sync["ledger"].delete_many({"player": "bob", "n": {"$in": [1, 2, 5]}})  # a part of what it removes
    assert await differences(harness) == []
    assert await fold(harness) == 24
    assert [numbers(harness, player) for player in PLAYERS] == [[10], [10], [10]]
    assert await differences(harness) == []


@pytest.mark.parametrize(
    "change",
    [
        {"score": 1},
        {"checkpoint": bytes(32)},
        *(
            pytest.param(change, marks=pytest.mark.long)
            for change in ({"points": 1}, {"n": 11}, {"checkpoint": 5}, {"hash": bytes(32)}, {"by": "mallory"})
        ),
    ],
)
@pytest.mark.parametrize("n", [5, pytest.param(10, marks=pytest.mark.long)])
async def test_audit_of_a_changed_checkpoint_reports_it(harness, change, n):
    await fold(harness, version_of(harness, "bob", n) + 1)
    harness.sync["ledger"].update_one({"player": "bob", "n": n}, {"$set": change})
    assert ("changed_entry", "bob", change.get("n", n)) in await differences(harness)


async def test_audit_of_a_missing_checkpoint_reports_it(harness):
    await fold(harness, version_of(harness, "bob", 5))
    checkpoint = harness.sync["ledger"].find_one({"player": "bob", "n": 4})
    harness.sync["ledger"].update_one({"_id": checkpoint["_id"]}, {"$unset": {"checkpoint": 1}})
    assert ("missing_entry", "bob", 4) in await differences(harness)
    harness.sync["ledger"].delete_one({"_id": checkpoint["_id"]})
    assert ("missing_entry", "bob", 5) in await differences(harness)
    harness.sync["ledger"].delete_many({"player": "bob"})
    assert await differences(harness) == [("not_recorded", "bob", None)]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2, 3))])
async def test_audit_of_random_histories_passes_whatever_is_folded(mongo_database, replica_set, seed):
    random_ = random.Random(seed)
    async with open_ledger_harness(*mongo_database) as harness:
        await harness.start_writer()
        for _ in range(6):
            await play(harness, random_)
            await harness.wait_complete()
            versions = [entry["version"] for own in chains(harness.sync).values() for entry in own]
            before = random_.choice([*versions, EVERYTHING])
            sums = {player: entries[-1]["score"] for player, entries in chains(harness.sync).items() if player}
            if random_.random() < 0.5:
                async with failing_commands(replica_set, "delete", until=lambda: True, errorCode=11601):
                    await asyncio.gather(fold(harness, before), return_exceptions=True)
                for own in chains(harness.sync).values():
                    checkpoint = max((entry["n"] for entry in own if "checkpoint" in entry), default=0)
                    gone = [entry["_id"] for entry in own if entry["n"] < checkpoint and random_.random() < 0.5]
                    harness.sync["ledger"].delete_many({"_id": {"$in": gone}})
            else:
                await fold(harness, before)
            assert problems(harness.sync) == []
            assert await differences(harness, "--since", "0s") == []
            assert sums == {player: own[-1]["score"] for player, own in chains(harness.sync).items() if player}
        await fold(harness)
        for player, own in chains(harness.sync).items():
            kept = [entry for entry in own if entry["kind"] not in ("external", "opening")]
            assert not player or len(kept) == 1, own


async def play(harness, random_):
    """Some writes of every kind."""
    for _ in range(40):
        player = random_.choice("abcde")
        action = random_.choice(["score"] * 8 + ["external", "take_back", "suspend", "hide", "erase"])
        if action == "score":
            points = random_.choices(range(1, 99), k=3)
            await asyncio.gather(*(harness.score(player, each) for each in points), return_exceptions=True)
        elif action == "external":
            harness.sync["players"].update_one({"_id": player}, {"$inc": {"score": 3}})
        elif harness.sync["players"].find_one({"_id": player}) is not None:
            request = moderation_request(player)
            if action == "take_back":
                since = round(random_.choice([0.0, 2e12]))
                with_nothing = await asyncio.gather(
                    harness.moderation.take_back(request, action_id=None, since=since), return_exceptions=True
                )
                assert all(not isinstance(each, Exception) or isinstance(each, ActionNotFound) for each in with_nothing)
            elif action == "suspend":
                await harness.moderation.suspend(request)
                await harness.moderation.reinstate(request)
            elif action == "hide":
                await harness.moderation.hide(request)
                await harness.moderation.show(request)
            else:
                await harness.moderation.erase(request)


async def test_fold_of_an_entry_that_changed_since_it_was_read_removes_nothing(harness):
    retention_ = await retention_of(harness)
    step = await retention_._read(("main", "bob"), EVERYTHING)  # the moment between a read and its writes is not public
    harness.sync["ledger"].update_one({"player": "bob", "n": 10}, {"$set": {"hash": bytes(32)}})
    assert await retention_._write([step.fold]) == 0
    assert numbers(harness, "bob") == list(range(1, 11))


async def test_entries_before_a_wrong_checkpoint_are_not_removed(harness):
    for checkpoint in (bytes(32), chains(harness.sync)["bob"][2]["hash"]):
        harness.sync["ledger"].update_one({"player": "bob", "n": 5}, {"$set": {"checkpoint": checkpoint}})
        await fold(harness, version_of(harness, "bob", 3))
        assert numbers(harness, "bob") == list(range(1, 11))
        assert ("changed_entry", "bob", 5) in await differences(harness)


async def test_erasure_and_a_new_chain_survive_a_late_fold(harness):
    """A process that was stopped for longer than its lease removes nothing of the new chain."""
    late = await retention_of(harness)
    step = await late._read(("main", "bob"), EVERYTHING)  # the moment between a read and its writes is not public
    await harness.moderation.erase(moderation_request("bob"))
    await eventually(lambda: kinds(harness.sync, "bob") == [])
    for points in range(12):
        await harness.score("bob", points + 1)
    await harness.wait_complete()
    assert await late._write([step.fold]) == 0
    assert numbers(harness, "bob") == list(range(1, 13))
    assert await differences(harness) == []


async def test_take_back_of_folded_actions_is_refused_with_the_time_of_the_checkpoint(harness):
    entries = chains(harness.sync)["bob"]
    await fold(harness, entries[5]["version"])
    checkpoint = entries[4]
    with pytest.raises(ActionNotFound, match="folded"):
        await harness.moderation.take_back(moderation_request("bob"), action_id=entries[2]["id"], since=None)
    since = round(checkpoint["at"].timestamp() * 1000)
    with pytest.raises(ActionNotFound, match="folded"):
        await harness.moderation.take_back(moderation_request("bob"), action_id=None, since=since)
    taken = await harness.moderation.take_back(moderation_request("bob"), action_id=None, since=since + 1)
    assert taken.points == sum(entry["points"] for entry in entries[5:] if entry["at"] > checkpoint["at"])
    one = await harness.moderation.take_back(moderation_request("bob"), action_id=checkpoint["id"], since=None)
    assert one.points == checkpoint["points"]
    await harness.wait_complete()
    assert await differences(harness) == []


async def test_take_back_since_a_time_before_an_interrupted_fold_is_refused(harness, replica_set):
    entries = chains(harness.sync)["bob"]
    async with failing_commands(replica_set, "delete", until=1, errorCode=11601):
        with pytest.raises(PyMongoError):
            await fold(harness, entries[5]["version"])
    harness.sync["ledger"].delete_many({"player": "bob", "n": 2})  # a part of what it removes
    score = harness.sync["players"].find_one({"_id": "bob"})["score"]
    since = round(entries[2]["at"].timestamp() * 1000)
    with pytest.raises(ActionNotFound, match=r"^Action not found.*folded"):
        await harness.moderation.take_back(moderation_request("bob"), action_id=None, since=since)
    assert harness.sync["players"].find_one({"_id": "bob"})["score"] == score


async def test_take_back_during_a_fold_says_what_it_took_back(harness, monkeypatch):
    entries = chains(harness.sync)["bob"]
    real = harness.ledger.actions

    def actions(player, **chosen):
        pages = real(player, **chosen)

        async def after_fold():
            await fold(harness, entries[5]["version"])
            async for page in pages:
                yield page

        return after_fold()

    monkeypatch.setattr(harness.ledger, "actions", actions)
    points = sum(entry["points"] for entry in entries[4:])
    with pytest.raises(ActionNotFound, match=rf"^Only in part: 6 actions of {points} points.*folded"):
        await harness.moderation.take_back(moderation_request("bob"), action_id=None, since=0)
    await harness.wait_complete()
    assert await differences(harness) == []


async def test_history_and_erasure_of_a_folded_chain(harness):
    await fold(harness, version_of(harness, "bob", 9))
    assert [entry.n for entry in await harness.ledger.history("bob", 2, None, board="main")] == [10, 9]
    (oldest,) = await harness.ledger.history("bob", 2, 9, board="main")
    assert (oldest.n, bool(oldest.checkpoint)) == (8, True)
    assert await harness.ledger.history("bob", 2, 8, board="main") == []
    await harness.moderation.erase(moderation_request("bob"))
    await eventually(lambda: kinds(harness.sync, "bob") == [])
    assert await differences(harness) == []


async def test_service_folds_what_is_older_than_its_setting(harness, mongo_database, tmp_path):
    await harness.running[0].close()  # its resume point is after all entries
    await harness.crash(harness.running[0])
    age(harness.sync, 8 * 86400)
    checkpoint = chains(harness.sync)["bob"][-1]
    service = RunningService("--ledger-retention", "7d", uri=mongo_database[0], database=harness.name)
    try:
        service.start(tmp_path / "log")
        wait_until(lambda: harness.sync["ledger"].count_documents({}) == 3, 60, "one entry of each player is left")
        page = service.get("/api/v1/players/bob/history?limit=1", token=token("bob")).json
        (shown,) = page["entries"]
        assert (shown["n"], shown["folded_entries"], page["next"]) == (10, 9, None)
        assert shown["score"] == checkpoint["score"]
        answer = service.post(
            "/api/v1/admin/players/bob/take-back",
            {"reason": "cheat", "action_id": "a-1"},
            token=token("mod", scope="leaderboard:admin"),
        )
        assert (answer.status, answer.json["error"]) == (404, "action_not_found")
        assert "ledger_retention" in answer.json["message"]
    finally:
        service.close()
    assert problems(harness.sync) == []


def age(database, seconds):
    """Make all entries older, in chains that are right."""
    for entries in chains(database).values():
        prev = b""
        for entry in entries:
            entry["version"] -= seconds << 21
            entry["hash"] = prev = recomputed(entry, prev)
            database["ledger"].replace_one({"_id": entry["_id"]}, entry)
