"""Changes of the served boards while the change feed is in trouble, in one process with a real mongod."""

import asyncio

import pytest

from tests.support.fail_points import failing_commands
from tests.support.service import KEY
from tests.support.wait import eventually
from tornado_app.config import Config
from tornado_app.core.boards import MAIN, Board, View
from tornado_app.core.periods import Period
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.database import prepare_board
from tornado_app.observability.metrics import Metrics
from tornado_app.runtime.tasks import cancel_and_wait
from tornado_app.service.wiring import build

SEASONAL = Board(periods=(Period("season"),))


@pytest.fixture
async def components(mongo_database):
    uri, name = mongo_database
    client = connect(uri)
    await prepare_board(client, name, MAIN)
    components = build(Config(jwt_key=KEY, mongodb_database=name), client, metrics=Metrics())
    parts = components.periods, components.feed, components.views
    running = [asyncio.ensure_future(part.run()) for part in parts]
    await components.boards.wait_ready()
    await components.feed.wait_open()
    yield components
    ended = [task for task in running if task.done()]
    await cancel_and_wait(*running)
    await maybe_await(client.close())
    assert ended == []


async def test_only_board_gets_a_period_while_the_history_is_lost(components, replica_set):
    boards = components.boards
    async with failing_commands(replica_set, "aggregate", until=lambda: len(boards.definitions) == 1, errorCode=112):
        components.feed.request_resync()
        await eventually(lambda: not boards.ready)
        changing = asyncio.ensure_future(boards.apply([SEASONAL]))
        await eventually(lambda: len(boards.definitions) == 2, what="the epochs are being planned")
    async with asyncio.timeout(20):
        await changing
    assert boards["main"].periods.keys() == {"season"}
    assert components.views[View("main", "season")].ready
