"""A database with periods, and processes that use it."""

from __future__ import annotations

import pytest

from tests.support.drivers import DRIVERS
from tests.support.periods import MovableClock, Process
from tornado_app.core.boards import Board
from tornado_app.core.periods import Cron, Period
from tornado_app.mongo.client.driver import connect, maybe_await

BOARD = Board(periods=(Period("hourly", Cron("0 * * * *"), keep=2), Period("season")))


@pytest.fixture(params=DRIVERS)
async def client(request, mongo_database):
    client = connect(mongo_database[0], request.param)
    yield client
    await maybe_await(client.close())


@pytest.fixture
def clock():
    return MovableClock()


@pytest.fixture
def make_process(client, mongo_database, clock):
    """A function that makes the periods of a process."""
    return lambda *boards: Process(client, mongo_database[1], clock, boards or (BOARD,))


@pytest.fixture
def database(client, mongo_database):
    return client[mongo_database[1]]
