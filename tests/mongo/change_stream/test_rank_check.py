"""The rank check on a real mongod: right ranks pass under load, a wrong rank starts a resync."""

import asyncio
import logging
from datetime import UTC, datetime

import pytest

from tests.support.board_harness import open_board_harness
from tests.support.drivers import DRIVERS
from tests.support.wait import eventually
from tornado_app.core.boards import MAIN
from tornado_app.mongo.change_stream.rank_check import RankCheck

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture(params=DRIVERS)
async def harness(request, mongo_database):
    async with open_board_harness(*mongo_database, request.param) as harness:
        yield harness


@pytest.fixture
def found():
    return []


@pytest.fixture
def check(harness, found):
    return RankCheck(harness.client, harness.name, lambda: [(MAIN, harness.board)], harness.feed, observe=found.append)


async def test_rank_check_of_an_empty_board_checks_nothing(harness, check, found):
    await check.check(MAIN, harness.board)
    assert found == []


async def test_rank_check_under_load_agrees(harness, check, found):
    async def play(number):
        while len(found) < 20:
            await harness.score(f"p{number}", number % 5 + 1)

    playing = [asyncio.ensure_future(play(number)) for number in range(30)]
    await eventually(lambda: harness.board.total == 30)
    while len(found) < 20:
        await check.check(MAIN, harness.board)
    await asyncio.gather(*playing)
    assert found == ["agreed"] * 20
    assert harness.board.snapshots == 1


async def test_rank_check_skips_hidden_players_and_malformed_documents(harness, check, found):
    await asyncio.gather(*(harness.score(f"p{n}", n) for n in range(1, 15)))
    await harness.players.insert_one({"_id": "odd", "score": 99.5})
    await harness.players.insert_one({"_id": "hidden", "score": 99, "hidden": True, "updatedAt": NOON})
    await eventually(lambda: harness.board.total == 14)
    await check.check(MAIN, harness.board)
    assert found == ["agreed"]


async def test_rank_check_of_a_wrong_rank_resyncs(harness, check, found, caplog):
    await asyncio.gather(*(harness.score(f"p{n}", n) for n in range(1, 15)))
    await harness.wait_consistent()
    # A wrong rank, which no public method can cause.
    harness.board._ranks.move(3, 1000)
    with caplog.at_level(logging.ERROR, "leaderboard.ranks"):
        await check.check(MAIN, harness.board)
    assert found == ["differed"]
    assert caplog.records[0].rank == caplog.records[0].counted + 1
    await eventually(lambda: harness.board.snapshots == 2)
    assert harness.restarts == ["ranks_differ"]
    await harness.wait_consistent()
    await check.check(MAIN, harness.board)
    assert found == ["differed", "agreed"]


async def test_rank_check_skips_ranks_beyond_max_rank(harness, found):
    check = RankCheck(
        harness.client, harness.name, lambda: [(MAIN, harness.board)], harness.feed, max_rank=2, observe=found.append
    )
    await asyncio.gather(*(harness.score(f"p{n}", n) for n in range(1, 15)))
    await harness.wait_consistent()
    await harness.score("p1", 1)
    await eventually(lambda: harness.board.sample() == [2, 5])
    await check.check(MAIN, harness.board)
    assert found == []
