"""The change feed on a real mongod: the board equals the database after every fault."""

import asyncio
import logging
import random
import shutil
from collections import Counter
from datetime import UTC, datetime

import pytest
from bson import DatetimeMS, ObjectId
from pymongo import MongoClient

from tests.support.board_harness import BoardHarness, open_board_harness
from tests.support.drivers import DRIVERS
from tests.support.fail_points import failing_commands
from tests.support.wait import eventually
from tornado_app.core.errors import DatabaseError
from tornado_app.core.model import ProfileChange
from tornado_app.mongo.change_stream.source import EventBatch
from tornado_app.mongo.client.driver import maybe_await
from tornado_app.mongo.players.documents import BOARD_ORDER, MalformedDocument

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
RELAY = [pytest.param(False, id="own"), pytest.param(True, id="relay", marks=pytest.mark.long)]


@pytest.fixture(params=[*DRIVERS, pytest.param("relay", marks=pytest.mark.long)])
async def harness(request, mongo_database):
    """With a change stream of its own, by each driver, and with the events that the supervisor relays."""
    relay = request.param == "relay"
    driver = "pymongo" if relay else request.param
    async with open_board_harness(*mongo_database, driver, relay=relay) as harness:
        yield harness


@pytest.fixture(params=DRIVERS)
async def short_timeout_harness(request, mongo_database):
    """A feed with a short call timeout."""
    async with open_board_harness(*mongo_database, request.param, call_timeout=0.7) as harness:
        yield harness


# -- changes ----------------------------------------------------------------------------------------------


async def test_feed_reports_changes_in_order_with_old_and_new_score(harness):
    for points in (5, 3, 2):
        await harness.score("alice", points)
    await harness.score("bob", 7)
    await harness.store.register("carol", ProfileChange())
    await eventually(lambda: len(harness.board.changes) == 5)
    reported = [(change.user_id, change.old, change.new) for change in harness.board.changes]
    assert reported == [("alice", None, 5), ("alice", 5, 8), ("alice", 8, 10), ("bob", None, 7), ("carol", None, 0)]
    versions = [change.version for change in harness.board.changes]
    assert versions == sorted(set(versions))
    ranks = [rank for _, rank in harness.board.moves]
    assert ranks == [1, 1, 1, 2, 3]
    assert harness.board.last_updated == harness.board.changes[-1].at
    await harness.wait_consistent()


async def test_feed_reports_each_write_of_a_batch(harness):
    await asyncio.gather(*(harness.score(f"p{n % 7}", n + 1) for n in range(200)))
    await harness.wait_consistent()
    last = {}
    for change in harness.board.changes:
        assert change.old == last.get(change.user_id)
        last[change.user_id] = change.new
    assert sum(last.values()) == 200 * 201 // 2


async def test_feed_reports_a_new_name_of_a_player_on_the_board(harness):
    await harness.score("alice", 5)
    await eventually(lambda: harness.board.top.standings)
    await harness.store.register("alice", ProfileChange(username="Zoë", avatar_url="https://x.test/z.png"))

    def shown():
        player = harness.board.top.standings[0].player
        return (player.username, player.avatar_url) == ("Zoë", "https://x.test/z.png")

    await eventually(shown)
    await harness.players.update_one({"_id": "alice"}, {"$unset": {"ownUsername": ""}})
    await eventually(lambda: harness.board.top.standings[0].player.username == "alice")
    assert harness.board.rebuilds == 1


@pytest.mark.long
@pytest.mark.parametrize("driver", DRIVERS)
async def test_snapshot_during_writes_counts_each_score_once(mongo_database, driver):
    """Eight writers continue while one board after the other reads the snapshot and then the stream."""
    uri, name = mongo_database
    boards = []
    async with open_board_harness(uri, name, driver, start=False) as writing:
        seed = [{"_id": f"s{n}", "score": n % 997, "updatedAt": NOON} for n in range(20_000)]
        await writing.players.insert_many(seed)
        stop = asyncio.Event()
        written = Counter()

        async def writer(number):
            dice = random.Random(number)
            while not stop.is_set():
                user = dice.choice([f"s{dice.randrange(20_000)}", f"new{dice.randrange(500)}"])
                await writing.score(user, dice.randint(1, 50))
                written[number] += 1

        writers = [asyncio.ensure_future(writer(number)) for number in range(8)]
        try:
            for _ in range(3):
                before = written.total()
                await eventually(lambda before=before: written.total() > before + 100)
                boards.append(BoardHarness(uri, name, driver))
                await boards[-1].start()
            before = written.total()
            await eventually(lambda: written.total() > before + 200)
        finally:
            stop.set()
            await asyncio.gather(*writers)
        try:
            for harness in boards:
                await harness.wait_consistent()
                assert harness.board.rebuilds == 1
                assert harness.board.changes
        finally:
            for harness in boards:
                await harness.stop()


# -- faults of the stream ---------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 5])
@pytest.mark.parametrize("how", [{"closeConnection": True}, {"errorCode": 262}, {"errorCode": 43}], ids=str)
async def test_feed_resumes_after_a_broken_stream(harness, replica_set, times, how):
    await harness.score("alice", 1)
    await eventually(lambda: len(harness.board.changes) == 1)
    async with failing_commands(replica_set, "getMore", "aggregate", until=times, **how):
        for _ in range(10):
            await harness.score("alice", 1)
    await eventually(lambda: len(harness.board.changes) == 11)
    assert [change.new for change in harness.board.changes] == list(range(1, 12))
    assert harness.board.rebuilds == 1
    await harness.wait_consistent()


async def test_feed_reopens_a_stream_that_the_driver_abandons(short_timeout_harness, replica_set):
    harness = short_timeout_harness
    await harness.score("alice", 1)
    await eventually(lambda: len(harness.board.changes) == 1)
    broken = {"errorCode": 262, "errorLabels": ["ResumableChangeStreamError"]}
    async with failing_commands(replica_set, "getMore", "aggregate", until=lambda: harness.restarts, **broken):
        await harness.score("alice", 1)
    await eventually(lambda: len(harness.board.changes) == 2)
    assert harness.board.rebuilds == 1
    await harness.wait_consistent()


@pytest.mark.parametrize("code", [136, 237, 260, 280, 286])
async def test_feed_reads_a_new_snapshot_after_lost_history(harness, replica_set, code, caplog):
    await harness.score("alice", 1)
    with caplog.at_level(logging.WARNING):
        async with failing_commands(replica_set, "getMore", until=1, errorCode=code):
            await eventually(lambda: harness.board.rebuilds == 2)
    await harness.score("alice", 2)
    await harness.wait_consistent()
    assert harness.restarts == ["history_lost"]
    assert sum("reading the board again" in record.message for record in caplog.records) == 1


@pytest.mark.usefixtures("lost_sockets")  # calls time out while their connections are made
async def test_feed_reads_a_new_snapshot_if_the_server_does_not_find_its_position_in_time(mongo_database, replica_set):
    async with open_board_harness(*mongo_database, call_timeout=0.3, resume_timeout=1.0) as harness:
        await harness.score("alice", 1)
        await eventually(lambda: len(harness.board.changes) == 1)
        async with failing_commands(
            replica_set,
            "aggregate",
            "getMore",
            until=lambda: "resume_timeout" in harness.restarts,
            blockConnection=True,
            blockTimeMS=1000,
        ):
            pass
        await eventually(lambda: harness.board.rebuilds == 2)
        await harness.score("alice", 2)
        await harness.wait_consistent()


async def test_feed_drops_a_resume_token_that_the_server_refuses(mongo_database):
    """Only a stream from another resume token can continue."""
    async with open_board_harness(*mongo_database, start=False) as harness:
        # A feed gets its resume token from the stream only.
        harness.feed._position = {"_data": "82"}
        await harness.start()
        assert harness.restarts == ["refused"]
        assert harness.board.rebuilds == 1
        await harness.score("alice", 1)
        await harness.wait_consistent()


async def test_feed_retries_a_failed_snapshot(mongo_database, replica_set):
    async with open_board_harness(*mongo_database, start=False) as harness:
        async with failing_commands(replica_set, "aggregate", until=3, closeConnection=True):
            await harness.start()
        await harness.score("alice", 1)
        await harness.wait_consistent()


# -- external writes ---------------------------------------------------------------------------------------


MALFORMED = [
    {"_id": "half", "score": 1.5, "updatedAt": NOON},
    {"_id": "bare"},
    {"_id": "text", "score": "9", "updatedAt": NOON, "seq": 7},
    {"_id": "list", "score": [9], "updatedAt": NOON},
    {"_id": "timeless", "score": 99},
    {"_id": ObjectId(), "score": 98, "updatedAt": NOON},
    {"_id": 7, "score": 97, "updatedAt": NOON},
    {"_id": "beyond", "score": 96, "updatedAt": DatetimeMS(2**53)},
]
"""Malformed documents that would lead the board."""


EXTERNAL = {
    "set": lambda players: players.update_one({"_id": "p3"}, {"$set": {"score": 99}}),
    "inc": lambda players: players.update_many({}, {"$inc": {"score": 1}}),
    "by pipeline": lambda players: players.update_many({}, [{"$set": {"score": {"$multiply": ["$score", 2]}}}]),
    "replace": lambda players: players.replace_one({"_id": "p3"}, {"score": 55, "updatedAt": datetime.now(UTC)}),
    "delete": lambda players: players.delete_one({"_id": "p3"}),
    "delete all": lambda players: players.delete_many({}),
    "hide": lambda players: players.update_one({"_id": "p3"}, {"$set": {"hidden": True}}),
    "another history entry": lambda players: players.update_one(
        {"_id": "p3"}, {"$set": {"score": 7, "seq": 9, "h.9": "mine"}}
    ),
    "another time": lambda players: players.update_one({"_id": "p3"}, {"$set": {"updatedAt": NOON}}),
    "drop": lambda players: players.drop(),
    "drop database": lambda players: maybe_await(players.database.client.drop_database(players.database.name)),
    "rename": lambda players: players.rename("elsewhere"),
}


@pytest.mark.parametrize("act", EXTERNAL.values(), ids=EXTERNAL.keys())
async def test_feed_resyncs_after_a_write_without_a_marker(harness, act):
    await asyncio.gather(*(harness.score(f"p{n}", n) for n in range(1, 15)))
    await harness.wait_consistent()
    await act(harness.players)
    await eventually(lambda: harness.board.rebuilds > 1, what="the board reads a new snapshot")
    await harness.wait_consistent()
    await asyncio.gather(*(harness.score(f"p{n}", 5) for n in range(1, 10)))
    await harness.wait_consistent()
    indexes = await harness.players.index_information()
    assert [index["key"] for index in indexes.values()][1:] == [BOARD_ORDER, [("hidden", 1)], [("copying", 1)]]


async def test_feed_shows_a_player_whose_hidden_field_is_removed(harness):
    await harness.score("alice", 5)
    await harness.players.update_one({"_id": "alice"}, {"$set": {"hidden": True}})
    await eventually(lambda: harness.board.ready and harness.board.total == 0)
    await harness.score("alice", 5)
    await harness.players.update_one({"_id": "alice"}, {"$unset": {"hidden": ""}})
    await eventually(lambda: harness.board.ready and harness.board.total == 1)
    await harness.wait_consistent()


async def test_feed_reads_a_collection_renamed_over_the_players(harness):
    await harness.score("alice", 5)
    other = harness.client[harness.name]["other"]
    await other.insert_one({"_id": "zoe", "score": 70, "updatedAt": datetime.now(UTC)})
    await other.rename("players", dropTarget=True)
    await eventually(lambda: harness.board.rebuilds > 1)
    await harness.wait_consistent()
    assert harness.board.top.standings[0].player.user_id == "zoe"


async def test_feed_creates_the_index_of_a_new_collection(harness):
    await harness.players.drop()
    await eventually(lambda: harness.board.rebuilds > 1)
    assert "board" in await harness.players.index_information()


async def test_feed_creates_the_index_after_the_removal_of_the_database(harness, replica_set):
    """The server refuses to create anything in a database whose removal is not complete (215)."""
    async with failing_commands(replica_set, "createIndexes", until=2, errorCode=215):
        await harness.players.drop()
        await eventually(lambda: harness.board.rebuilds > 1)
    assert "board" in await harness.players.index_information()


async def test_feed_logs_an_index_that_it_cannot_create_and_continues(harness, caplog):
    other = harness.client[harness.name]["other"]
    await other.create_index([("score", 1)], name="board")
    await other.rename("players", dropTarget=True)
    await eventually(lambda: harness.board.rebuilds > 1)
    await harness.score("alice", 5)
    await harness.wait_consistent()
    assert "that conflicts with the board's" in caplog.text


async def test_feed_skips_malformed_documents(harness):
    await harness.score("alice", 5)
    await harness.players.insert_many(MALFORMED)
    await harness.players.update_one({"_id": 7}, {"$set": {"score": 96}})
    await harness.players.update_one({"_id": "alice"}, {"$inc": {"score": 0.5}})
    await eventually(lambda: harness.board.ready and harness.board.total == 0)
    with pytest.raises(MalformedDocument):
        await harness.score("alice", 1)
    await harness.score("bob", 4)
    await eventually(lambda: harness.board.ready and harness.board.total == 1)
    assert [harness.board.rank(score) for score in (4, 3)] == [1, 2]
    await eventually(lambda: [s.player.user_id for s in harness.board.top.standings] == ["bob"])


async def test_feed_starts_with_malformed_documents(mongo_database):
    uri, name = mongo_database
    with MongoClient(uri) as client:
        client[name]["players"].insert_many([*MALFORMED, {"_id": "real", "score": 3, "updatedAt": NOON}])
    async with open_board_harness(uri, name) as harness:
        assert (harness.board.total, harness.board.rank(2)) == (1, 2)
        assert [standing.player.user_id for standing in harness.board.top.standings] == ["real"]


# -- server faults --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", DRIVERS)
async def test_feed_resumes_after_mongod_restarts(own_replica_set, driver):
    mongod = own_replica_set.members[0]
    async with open_board_harness(own_replica_set.uri, "board", driver, call_timeout=1.5) as harness:
        for n in range(20):
            await harness.score(f"p{n}", n + 1)
        await harness.wait_consistent()
        mongod.kill()
        await eventually(lambda: harness.restarts, 20, "the feed notices")
        mongod.spawn()
        await harness.score("p0", 100)
        await harness.wait_consistent()
        assert harness.board.rebuilds == 1
        scores = [change.new for change in harness.board.changes if change.user_id == "p0"]
        assert scores == [1, 101]


@pytest.mark.parametrize("relay", RELAY)
async def test_feed_lag_grows_while_the_server_hangs(own_replica_set, relay):
    mongod = own_replica_set.members[0]
    async with open_board_harness(own_replica_set.uri, "board", relay=relay, call_timeout=1.5) as harness:
        await harness.score("alice", 1)
        await eventually(lambda: harness.feed.lag < 1)
        mongod.freeze()
        await eventually(lambda: harness.feed.lag > 1)
        await eventually(lambda: harness.restarts)
        assert harness.feed.lag > 1 if relay else harness.feed.lag == float("inf")
        mongod.thaw()
        await eventually(lambda: harness.feed.lag < 1, 30)
        await harness.score("alice", 1)
        await harness.wait_consistent()
        assert harness.board.rebuilds == 1


@pytest.mark.parametrize("relay", RELAY)
async def test_feed_detects_a_replaced_database(own_replica_set, relay):
    """The new database accepts the old resume token and does not report the missing events."""
    mongod = own_replica_set.members[0]
    async with open_board_harness(own_replica_set.uri, "board", relay=relay) as harness:
        for n in range(3):
            await harness.score(f"p{n}", n + 1)
        await harness.wait_consistent()
        await harness.feed.probe()
        mongod.kill()
        shutil.rmtree(mongod.folder)
        own_replica_set.start()
        await eventually(lambda: succeeds(harness.feed.probe), 30)
        await eventually(lambda: harness.board.ready and harness.board.total == 0)
        assert harness.restarts[-1] == "replaced"
        await harness.score("new", 5)
        await harness.wait_consistent()
        assert "board" in await harness.players.index_information()


async def succeeds(call):
    try:
        await call()
    except DatabaseError:
        return False
    return True


async def test_feed_lag_counts_late_events_of_a_live_stream(mongo_database):
    """Only a source that the test fills can be late and alive."""
    batches = asyncio.Queue()
    clock = asyncio.get_running_loop().time

    class Source:
        async def read(self, start):
            while True:
                yield await batches.get()

    async with open_board_harness(*mongo_database, source=Source(), start=False) as harness:
        batches.put_nowait(EventBatch(clock(), at_end=True))
        await harness.start()
        await harness.score("alice", 1)
        before = clock()
        await harness.feed.probe()
        batches.put_nowait(EventBatch(before, at_end=True))  # the database answered before it was asked for its time
        for _ in range(20):
            batches.put_nowait(EventBatch(clock(), version=5))
            await asyncio.sleep(0.01)
        assert 0.2 <= harness.feed.lag < 5
        batches.put_nowait(EventBatch(clock(), version=2**64 - 1))
        await eventually(batches.empty)
        assert harness.feed.lag < 0.2
