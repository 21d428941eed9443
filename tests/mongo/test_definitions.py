"""The rule and the order of a board with data cannot change."""

from __future__ import annotations

import asyncio

import pytest
from pymongo import AsyncMongoClient

from tests.support.fail_points import failing_commands
from tornado_app.core.boards import MAIN, Board, Bounds, Order, Rule
from tornado_app.core.errors import StartupError
from tornado_app.mongo import definitions
from tornado_app.mongo.database import prepare_board
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
    await client[name][collection].insert_one({"_id": "alice", "player": "alice"})
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


GOLF = Board("golf", Rule.LAST)


async def test_other_board_is_recorded_beside_running_processes_and_data_of_main(database):
    client, name = database
    await Lease(client[name], "ledger").take()
    for collection in ("players", "ledger"):
        await client[name][collection].insert_one({"_id": "alice", "player": "alice"})
    for _ in range(2):
        await prepare_board(*database, GOLF)
        await prepare_board(*database, Board("default"))
    kept = await client[name][METADATA].find({}).sort("_id").to_list(None)
    assert [(document["_id"], document["rule"]) for document in kept] == [
        ("board.default", "sum"),
        ("board.golf", "last"),
    ]
    assert indexes.BOARD_INDEX in await client[name]["players.golf"].index_information()


@pytest.mark.parametrize(
    ("collection", "document"),
    [
        ("players.golf", {"_id": "alice"}),
        ("ledger", {"_id": "w.1", "player": {"board": "golf", "id": "alice"}, "n": 1}),
    ],
)
async def test_other_board_with_data_keeps_its_rule(database, collection, document):
    client, name = database
    await prepare_board(*database, GOLF)
    await client[name][collection].insert_one(document)
    await prepare_board(*database, GOLF)
    with pytest.raises(StartupError, match=r"board golf .* has scores of rule last"):
        await prepare_board(*database, Board("golf"))
    await prepare_board(*database, Board("gol", Rule.BEST))
    await prepare_board(*database, Board("golfing", Rule.BEST))


async def test_other_board_without_data_may_change_while_no_process_runs(database):
    client, name = database
    await prepare_board(*database, GOLF)
    lease = Lease(client[name], "ledger")
    await lease.take()
    with pytest.raises(StartupError, match=r"a process serves board golf"):
        await prepare_board(*database, Board("golf", Rule.BEST))
    await lease.release()
    await prepare_board(*database, Board("golf", Rule.BEST))


async def test_processes_that_add_a_board_at_the_same_time_agree_on_its_rule(database):
    client, name = database
    await Lease(client[name], "ledger").take()
    boards = [Board("golf", rule) for rule in (Rule.BEST, Rule.LAST)] * 4
    done = await asyncio.gather(*(definitions.record(*database, board) for board in boards), return_exceptions=True)
    won = (await client[name][METADATA].find_one({"_id": "board.golf"}))["rule"]
    assert [result is None for result in done] == [board.rule.value == won for board in boards]
