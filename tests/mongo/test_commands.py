"""The times of commands: one for each that was sent, under a name that we know."""

import asyncio
from collections import defaultdict

import pytest
from pymongo.errors import OperationFailure

from tornado_app.mongo.commands import COMMANDS, OTHER, CommandTimes
from tornado_app.mongo.driver import connect, settled


@pytest.fixture(params=["pymongo", "motor"])
async def timed(request, mongo_database):
    """A database, and the seconds of each command that it was sent."""
    uri, name = mongo_database
    seconds = defaultdict(list)
    client = connect(uri, request.param, listeners=[CommandTimes(lambda name: seconds[name].append)])
    yield client[name], seconds
    await settled(client.close())


async def test_each_command_is_timed_under_its_name(timed):
    database, seconds = timed
    players = database["players"]
    await players.insert_one({"_id": "a", "score": 1})
    await players.find_one({})
    await players.find_one_and_update({"_id": "a"}, {"$inc": {"score": 1}})
    await database.command("ping")
    counts = {name: len(found) for name, found in seconds.items()}
    assert counts == dict.fromkeys([*COMMANDS, OTHER], 0) | dict.fromkeys(
        ["insert", "find", "findAndModify", "ping"], 1
    )
    assert all(0 < each < 10 for found in seconds.values() for each in found)


async def test_the_time_is_that_which_the_database_took(timed):
    database, seconds = timed
    began = asyncio.get_running_loop().time()
    sleepy = {"$where": "sleep(300) || true"}
    await database["players"].insert_one({"_id": "a"})
    await database["players"].find_one(sleepy)
    assert 0.3 <= seconds["find"][0] <= asyncio.get_running_loop().time() - began


async def test_what_fails_and_what_we_do_not_name_counts_too(timed):
    database, seconds = timed
    with pytest.raises(OperationFailure):
        await database["players"].find_one({"$nonsense": 1})
    with pytest.raises(OperationFailure):
        await database.command("nonsense")
    assert len(seconds["find"]) == len(seconds[OTHER]) == 1
    assert set(seconds) == {*COMMANDS, OTHER}
