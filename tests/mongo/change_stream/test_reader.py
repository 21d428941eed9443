"""The ledger's reader where it changes from its own stream to the feed's: no event is missed, none is read twice."""

import asyncio

import pytest
from bson import Timestamp

from tests.support.drivers import DRIVERS
from tests.support.ledger_harness import open_ledger_harness
from tests.support.wait import eventually
from tornado_app.core.moderation import ModerationRequest
from tornado_app.mongo.change_stream.events import WATCHED, decode
from tornado_app.mongo.change_stream.reader import ChangeStreamReader
from tornado_app.mongo.change_stream.subscription import Subscription
from tornado_app.mongo.client.driver import maybe_await
from tornado_app.runtime.tasks import cancel_and_wait


class Recorder:
    """All events of the players as the feed reads them, with the resume token before the first."""

    def __init__(self, stream):
        self._stream = stream
        self.start = stream.resume_token

    async def rest(self):
        """The events since the last call, each with the resume token after it."""
        found = []
        while (event := await self._stream.try_next()) is not None:
            found.append((event, self._stream.resume_token))
        return [*found, (None, self._stream.resume_token)]


def token(time, after=""):
    """A resume token at or, with a text, behind the beginning of a time."""
    return {"_data": f"82{time:08X}{0:08X}{after}"}


class Stream:
    """A stream with these events, each with the token after it; then it is idle."""

    def __init__(self, *events):
        self._events = list(events)
        self.alive = True
        self.resume_token = None

    async def try_next(self):
        if not self._events:
            await asyncio.sleep(0)
            return None
        event, self.resume_token = self._events.pop(0)
        return event

    async def close(self):
        self.alive = False


class Database:
    """A database with this stream."""

    def __init__(self, stream):
        self._stream = stream

    async def watch(self, *_, **__):
        return self._stream


def insert(player, time):
    return {
        "operationType": "insert", "documentKey": {"_id": player}, "clusterTime": Timestamp(time, 0),
        "fullDocument": {"score": 1}, "ns": {"coll": "players"},
    }  # fmt: skip


async def test_reader_returns_all_events_of_one_time_once():
    """mongos may deliver the event of one shard before that of another. Only a sharded cluster does so."""
    events = [insert("before", 5), insert("first", 7), insert("second", 7), insert("later", 8)]
    own = Stream((events[0], token(5, "1")), (events[1], token(7, "1")))
    subscriptions = []

    def subscribe():
        subscriptions.append(Subscription(token(5)))
        return subscriptions[-1]

    reader = ChangeStreamReader(Database(own), token(4), subscribe)
    running = asyncio.ensure_future(reader.run())
    await eventually(lambda: not own.alive, what="the reader has subscribed")
    subscriptions[0].put([decode(event) for event in events], token(8, "1"))
    read = []
    async with asyncio.timeout(20):
        while len(read) < 4:
            read += [event.player for event in (await reader.batch()).events]
    assert read == ["before", "first", "second", "later"]
    assert reader._events == []  # none is read twice
    await cancel_and_wait(running)


@pytest.mark.parametrize("driver", DRIVERS)
async def test_reader_skips_earlier_events_of_the_subscription(mongo_database, driver):
    """Those of a player who was erased since would be recorded again: the ledger has nothing left to know them by."""
    async with open_ledger_harness(*mongo_database, driver) as harness:
        database = harness.client[harness.name]
        await harness.score("zoe")
        stream = await maybe_await(database.watch(WATCHED, max_await_time_ms=1))
        await stream.try_next()
        recorder = Recorder(stream)
        subscriptions = []

        def subscription():
            subscriptions.append(Subscription(recorder.start))
            return subscriptions[-1]

        reader = ChangeStreamReader(database, recorder.start, subscription)
        running = asyncio.ensure_future(reader.run())
        await harness.score("alice", 5)
        await harness.moderation.erase(ModerationRequest("alice", "mod", "why"))
        read = []

        async def read_on():
            batch = await reader.batch()
            read.extend((event.kind, event.player) for event in batch.events)

        async with asyncio.timeout(20):
            while len(read) < 3:
                await read_on()
        await eventually(lambda: subscriptions, 20, "the reader requests a subscription")
        for event, token in await recorder.rest():
            subscriptions[-1].put([decode(event)] if event else [], token)
        await harness.score("bob", 7)
        async with asyncio.timeout(20):
            while len(read) < 4:  # by its own stream or by the subscription, as it comes
                for event, token in await recorder.rest():
                    subscriptions[-1].put([decode(event)] if event else [], token)
                await read_on()
        await eventually(lambda: not subscriptions[-1]._events, 20, "the reader takes the events of the subscription")
        # An event that the subscription delivers too may not stay in the reader.
        assert reader._events == []
        assert read == [("insert", "alice"), ("update", "alice"), ("delete", "alice"), ("insert", "bob")]
        await cancel_and_wait(running)
        await maybe_await(stream.close())


async def test_reader_waits_for_a_resume_token_that_the_server_finds_slowly(own_replica_set):
    """A read from an old resume token that times out must not start again from that token for ever."""
    member = own_replica_set.members[0]
    async with open_ledger_harness(own_replica_set.uri, "slow") as harness:
        database = harness.client["slow"]
        await harness.score("zoe")
        stream = await maybe_await(database.watch(max_await_time_ms=1))
        await stream.try_next()
        resume_token = stream.resume_token
        await maybe_await(stream.close())
        await harness.score("alice", 5)
        block = {"failCommands": ["aggregate"], "blockConnection": True, "blockTimeMS": 1000, "appName": "leaderboard"}
        with member.client() as client:
            client.admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": block})
            try:
                reader = ChangeStreamReader(database, resume_token, call_timeout=0.2)
                running = asyncio.ensure_future(reader.run())
                async with asyncio.timeout(20):
                    batch = await reader.batch()
                    while not batch.events:
                        batch = await reader.batch()
            finally:
                client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
        assert [event.player for event in batch.events] == ["alice"]
        assert not running.done()
        await cancel_and_wait(running)


@pytest.mark.long
async def test_reader_gives_up_a_silent_subscription(mongo_database):
    """Its stream may hang while the reader's own would not."""
    async with open_ledger_harness(*mongo_database) as harness:
        database = harness.client[harness.name]
        stream = await maybe_await(database.watch(WATCHED, max_await_time_ms=1))
        await stream.try_next()
        start, subscriptions = stream.resume_token, []
        await maybe_await(database.others.insert_one({}))  # an idle server's next write comes after 10 s

        def subscribe():
            subscriptions.append(Subscription(start))
            return subscriptions[-1]

        reader = ChangeStreamReader(database, start, subscribe, call_timeout=1.0)
        running = asyncio.ensure_future(reader.run())
        read = []
        for number, player in enumerate(("alice", "bob"), start=1):
            await harness.score(player, 5)
            async with asyncio.timeout(20):
                while len(read) < number:
                    read += [event.player for event in (await reader.batch()).events]
            await eventually(lambda number=number: len(subscriptions) > number, 20, "the reader subscribes again")
        assert read == ["alice", "bob"]
        assert subscriptions[0].closed
        await cancel_and_wait(running)
        await maybe_await(stream.close())
