"""The rule and the order of a board with data cannot change."""

from __future__ import annotations

import pytest
from pymongo import AsyncMongoClient

from tests.support.fail_points import failing_commands
from tornado_app.core.boards import MAIN, Board, Bounds, Order, Rule
from tornado_app.core.errors import StartupError
from tornado_app.mongo import definitions
from tornado_app.mongo.ledger.lease import Lease
from tornado_app.mongo.ownership import METADATA
from tornado_app.mongo.players import indexes

KART = Board("main", Rule.BEST, Order.ASCENDING)


@pytest.fixture
async def database(mongo_database):
    uri, name = mongo_database
    async with AsyncMongoClient(uri, appname="leaderboard") as client:
        yield client, name


async def test_default_board_is_not_recorded(database):
    client, name = database
    await definitions.record(*database, MAIN)
    assert METADATA not in await client[name].list_collection_names()


async def test_other_board_is_recorded_at_its_first_start(database):
    client, name = database
    await definitions.record(*database, KART)
    document = await client[name][METADATA].find_one({})
    assert document == {"_id": "board.main", "rule": "best", "order": "ascending"}


@pytest.mark.parametrize("collection", ["players", "ledger"])
@pytest.mark.parametrize("change", [{"rule": Rule.LAST}, {"order": Order.DESCENDING}, {"rule": Rule.SUM}])
async def test_rule_and_order_of_a_board_with_data_cannot_change(database, collection, change):
    client, name = database
    await definitions.record(*database, KART)
    await client[name][collection].insert_one({"_id": "alice"})
    await definitions.record(*database, KART)
    await definitions.record(*database, Board("main", Rule.BEST, Order.ASCENDING, Bounds(1, 2)))
    changed = {"rule": Rule.BEST, "order": Order.ASCENDING} | change
    with pytest.raises(StartupError, match=r"rule best and order ascending in boards_file, or use another database"):
        await definitions.record(*database, Board("main", **changed))


async def test_board_with_data_and_without_a_record_is_the_default(database):
    client, name = database
    await client[name]["players"].insert_one({"_id": "alice", "score": 5})
    await definitions.record(*database, MAIN)
    with pytest.raises(StartupError, match=r"has scores of rule sum and order descending"):
        await definitions.record(*database, KART)


async def test_board_without_data_may_change(database):
    """The index of the other order goes."""
    client, name = database
    for board in (MAIN, KART, Board("main", Rule.LAST), MAIN, KART):
        await definitions.record(*database, board)
        await indexes.ensure(*database, order=board.order)
        index = (await client[name]["players"].index_information())[indexes.BOARD_INDEX]
        assert index["key"][0] == ("score", 1 if board.order is Order.ASCENDING else -1)


async def test_start_that_could_not_drop_the_index_can_be_repeated(database, replica_set):
    await indexes.ensure(*database)
    async with failing_commands(replica_set, "dropIndexes", until=1, errorCode=11600):
        with pytest.raises(StartupError):
            await definitions.record(*database, KART)
    await definitions.record(*database, KART)
    await indexes.ensure(*database, order=KART.order)


async def test_rule_cannot_change_while_a_process_with_the_other_one_runs(database):
    """It would go on with its rule, and write scores that make no sense with the recorded one."""
    client, name = database
    lease = Lease(client[name], "ledger")
    await lease.take()
    with pytest.raises(StartupError, match=r"a process serves board main .* rule sum .*: stop it before rule best"):
        await definitions.record(*database, KART)
    await lease.release()
    await definitions.record(*database, KART)
    await Lease(client[name], "ledger").take()
    await definitions.record(*database, KART)  # of the same rule
