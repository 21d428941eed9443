"""The follower on a real mongod: what its sink receives. tests/mongo/change_stream/test_feed.py has the faults."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from pymongo import MongoClient

from tests.support.fail_points import failing_commands
from tests.support.wait import eventually
from tornado_app.mongo.change_stream.follower import CHECK_INTERVAL, Follower
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.ledger.reader import LEDGER
from tornado_app.runtime.tasks import cancel_and_wait


class Sink:
    """Records the calls; `fault` is raised by the next event."""

    def __init__(self):
        self.histories = []
        self.players = []
        self.fault = None

    def begin(self, version, reason):
        self.histories.append((version, reason))

    def put(self, batch):
        if batch.events and self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        self.players += [event.player for event in batch.events]


@asynccontextmanager
async def following(uri, name, sink, **options):
    client = connect(uri)
    task = asyncio.ensure_future(Follower(client, name, sink, **options).run())
    try:
        await eventually(lambda: sink.histories)
        yield
    finally:
        await cancel_and_wait(task)
        await maybe_await(client.close())


async def test_follower_begins_at_the_present(mongo_database):
    uri, name = mongo_database
    sink = Sink()
    with MongoClient(uri) as client:
        client[name]["players"].insert_one({"_id": "before"})
        async with following(uri, name, sink):
            client[name]["players"].insert_one({"_id": "alice"})
            await eventually(lambda: sink.players == ["alice"])
    assert [reason for _, reason in sink.histories] == [""]


async def test_follower_reads_the_events_of_all_boards_and_goes_on_after_the_drop_of_one(mongo_database):
    uri, name = mongo_database
    sink = Sink()
    with MongoClient(uri) as client:
        database = client[name]
        async with following(uri, name, sink):
            for collection in ("players", "players.kart", "playerskart", "player", "ledger", "results.main"):
                database[collection].insert_one({"_id": collection})
            database["players.kart"].drop()
            database["players.kart"].insert_one({"_id": "new"})
            await eventually(lambda: sink.players == ["players", "players.kart", "", "new"])
            await asyncio.sleep(1.5 * CHECK_INTERVAL)  # nothing happens after a check of the collections
    assert [reason for _, reason in sink.histories] == [""]


async def test_follower_reads_a_collection_that_is_created_meanwhile_from_its_first_document_on(mongo_database):
    uri, name = mongo_database
    sink = Sink()
    with MongoClient(uri) as client:
        database = client[name]
        database[LEDGER].insert_one({"_id": "entry"})
        async with following(uri, name, sink):
            database["players.kart"].create_index("score")
            database["players.kart"].insert_one({"_id": "alice"})
            with client.start_session() as session, session.start_transaction():
                database["players.rally"].insert_one({"_id": "bob"}, session=session)
                database[LEDGER].insert_one({"_id": "other entry"}, session=session)
            database[LEDGER].rename("players.moto")
            database["players.moto"].insert_one({"_id": "zoe"})
            await eventually(lambda: sink.players == ["alice", "bob", "", "zoe"])
    assert [reason for _, reason in sink.histories] == [""]


async def test_follower_begins_a_new_history_after_an_event_that_fails(mongo_database, caplog):
    uri, name = mongo_database
    sink = Sink()
    with MongoClient(uri) as client:
        async with following(uri, name, sink):
            sink.fault = ValueError("cannot be encoded")
            client[name]["players"].insert_one({"_id": "alice"})
            await eventually(lambda: len(sink.histories) == 2)
            client[name]["players"].insert_one({"_id": "bob"})
            await eventually(lambda: sink.players == ["bob"])
    assert [reason for _, reason in sink.histories] == ["", "failed"]
    assert sink.histories[0][0] < sink.histories[1][0]
    assert "cannot be encoded" in caplog.text


async def test_follower_reports_the_first_reason_of_a_new_history(mongo_database, replica_set, caplog):
    """Not that of a failed attempt to begin it."""
    uri, name = mongo_database
    sink = Sink()
    with MongoClient(uri) as client:
        client[name]["players"].insert_one({"_id": "before"})
        async with following(uri, name, sink):
            async with failing_commands(
                replica_set, "listCollections", until=lambda: "(refused)" in caplog.text, errorCode=13
            ):
                client.drop_database(name)
            await eventually(lambda: len(sink.histories) == 2)
    assert [reason for _, reason in sink.histories] == ["", "invalidate"]


@pytest.mark.usefixtures("lost_sockets")  # calls time out while their connections are made
async def test_follower_begins_a_new_history_if_the_server_does_not_find_its_position_in_time(
    mongo_database, replica_set, caplog
):
    uri, name = mongo_database
    sink = Sink()
    with MongoClient(uri) as client:
        async with following(uri, name, sink, call_timeout=0.3, resume_timeout=1.0):
            client[name]["players"].insert_one({"_id": "alice"})
            await eventually(lambda: sink.players == ["alice"])
            async with failing_commands(
                replica_set,
                "aggregate",
                "getMore",
                until=lambda: len(sink.histories) == 2,
                blockConnection=True,
                blockTimeMS=1000,
            ):
                pass
            client[name]["players"].insert_one({"_id": "bob"})
            await eventually(lambda: "bob" in sink.players)
    assert [reason for _, reason in sink.histories][:2] == ["", "resume_timeout"]
    assert caplog.text.count("(resume_timeout)") == len(sink.histories) - 1
