"""Pages of a query on a real mongod: each is bounded in time, and the query as a whole is not."""

import pytest
from pymongo import AsyncMongoClient, MongoClient
from pymongo.errors import NetworkTimeout
from pymongo.monitoring import CommandListener

from tests.support.drivers import DRIVERS
from tests.support.fail_points import failing_commands
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.client.errors import next_page
from tornado_app.mongo.ledger.audit import LedgerScan
from tornado_app.mongo.ledger.reader import Ledger


class Recorder(CommandListener):
    """Keeps the commands that read."""

    def __init__(self):
        self.commands = []

    def started(self, event):
        """Keep it."""
        if event.command_name in ("find", "getMore"):
            self.commands.append(event.command)

    def succeeded(self, event):
        """Do nothing."""

    def failed(self, event):
        """Do nothing."""


@pytest.fixture
def entries(mongo_database):
    uri, name = mongo_database
    with MongoClient(uri) as client:
        client[name]["ledger"].create_index([("player", 1), ("n", 1)])
        client[name]["ledger"].insert_many([{"_id": f"w-{n}", "player": "bob", "n": n} for n in range(7)])
    return mongo_database


@pytest.mark.parametrize("reader", ["scan", "ledger"])
async def test_query_of_many_pages_has_no_time_limit_for_all_of_them(entries, reader):
    uri, name = entries
    recorder = Recorder()
    async with AsyncMongoClient(uri, event_listeners=[recorder]) as client:
        if reader == "scan":
            found = [n async for _, n, _ in LedgerScan(client[name], page=2).lines_of("main", "bob")]
            assert found == list(range(7))
        else:
            assert await Ledger(client[name], page=2).export("bob") == []  # no entry is complete
    commands = [command for command in recorder.commands if "batchSize" in command]  # others look for boards
    assert [next(iter(command)) for command in commands] == ["find", "getMore", "getMore", "getMore"]
    assert all(command["batchSize"] == 2 and "maxTimeMS" not in command for command in commands)


@pytest.mark.parametrize("driver", DRIVERS)
async def test_next_page_without_an_answer_in_time_raises_and_the_client_stays_usable(entries, replica_set, driver):
    uri, name = entries
    client = connect(uri, driver)
    try:
        cursor = client[name]["ledger"].find({"player": "bob"}).batch_size(2)
        assert len(await next_page(cursor, 2, 30.0)) == 2
        async with failing_commands(replica_set, "getMore", until=1, blockConnection=True, blockTimeMS=2000):
            with pytest.raises(NetworkTimeout):
                await next_page(cursor, 2, 0.2)
        await maybe_await(cursor.close())
        assert await client[name]["ledger"].count_documents({}) == 7
    finally:
        await maybe_await(client.close())
