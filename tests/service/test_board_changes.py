"""Changes of the served boards while the change feed is in trouble, in one process with a real mongod."""

import asyncio

import pytest

from tests.support.fail_points import failing_commands
from tests.support.service import KEY
from tests.support.wait import eventually
from tornado_app.config import Config
from tornado_app.core.boards import MAIN, Board, View
from tornado_app.core.errors import DatabaseError
from tornado_app.core.model import Action, Profile
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

    def planned():
        try:
            return components.periods.open_epochs(SEASONAL)
        except DatabaseError:
            return None

    async with failing_commands(replica_set, "aggregate", until=planned, errorCode=112):
        components.feed.request_resync()
        await eventually(lambda: not boards.ready)
        changing = asyncio.ensure_future(boards.apply([SEASONAL]))
        await eventually(lambda: len(boards.definitions) == 2, what="the epochs are being planned")
    async with asyncio.timeout(20):
        await changing
    assert boards["main"].periods.keys() == {"season"}
    assert components.views[View("main", "season")].ready


async def test_ranks_of_a_board_whose_periods_change_are_not_checked_meanwhile(components, replica_set):
    boards, before = components.boards, components.boards["main"].live
    checked = components.rank_check._boards  # else the test would wait for the check's interval
    async with failing_commands(replica_set, "aggregate", until=lambda: before not in components.views, errorCode=112):
        assert [live for _, live in checked()] == [before]
        changing = asyncio.ensure_future(boards.apply([SEASONAL]))
    assert boards["main"].live is before, "it is served until the new views are ready"
    assert list(checked()) == []
    async with asyncio.timeout(20):
        await changing
    assert [live for _, live in checked()] == boards["main"].lives


async def test_board_whose_periods_change_claims_no_version_that_it_does_not_show(components, replica_set):
    boards, before = components.boards, components.boards["main"].live
    progress = before._progress  # that of the feed, which goes on
    async with failing_commands(replica_set, "aggregate", until=lambda: True, errorCode=112):
        changing = asyncio.ensure_future(boards.apply([SEASONAL]))
        await eventually(lambda: before not in components.views)
        store = boards["main"].store
        receipt = await store.apply(Action("alice", 5, None, b"f", Profile(), create_player=True))
        await eventually(lambda: progress.version >= receipt.version, what="the feed has reported the write")
        assert before.total == 0
        assert not await before.wait_until_shown(receipt.version, 0.05)
    async with asyncio.timeout(20):
        await changing
    assert await boards["main"].live.wait_until_shown(receipt.version, 5)
    assert boards["main"].live.total == 1


async def test_removed_board_leaves_no_states_of_players_behind(components, replica_set):
    """It may come back after their erasure, of which its cache would not hear."""
    boards = components.boards
    await boards.apply([MAIN, Board("kart")])
    store = boards["kart"].store
    action = Action("alice", 5, None, b"f", Profile(), create_player=True)
    await store.apply(action)
    async with failing_commands(replica_set, "update", until=1, blockConnection=True, blockTimeMS=500):
        scoring = asyncio.ensure_future(store.apply(action))
        await eventually(lambda: store.busy)
        await boards.apply([MAIN])
    assert (await scoring).score == 10
    assert list(store.cache) == []
