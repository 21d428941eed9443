"""The check of the ranks in memory, on a real mongod: right ones pass under load, wrong ones are found and mended."""

import asyncio
import logging
from datetime import UTC, datetime

import pytest

from tests.mongo.live import running
from tests.support.drivers import DRIVERS
from tests.support.wait import eventually
from tornado_app.mongo.change_stream.rank_check import RankCheck

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture(params=DRIVERS)
async def live(request, mongo_database):
    async with running(*mongo_database, request.param) as live:
        yield live


@pytest.fixture
def found():
    return []


@pytest.fixture
def check(live, found):
    return RankCheck(live.client, live.name, live.board, live.feed, observe=found.append)


async def test_rank_check_of_an_empty_board_checks_nothing(check, found):
    await check.once()
    assert found == []


async def test_rank_check_under_load_agrees(live, check, found):
    async def play(number):
        while len(found) < 20:
            await live.score(f"p{number}", number % 5 + 1)

    playing = [asyncio.ensure_future(play(number)) for number in range(30)]
    await eventually(lambda: live.board.total == 30)
    while len(found) < 20:
        await check.once()
    await asyncio.gather(*playing)
    assert found == ["agreed"] * 20
    assert live.board.snapshots == 1


async def test_rank_check_skips_hidden_players_and_malformed_documents(live, check, found):
    await asyncio.gather(*(live.score(f"p{n}", n) for n in range(1, 15)))
    await live.players.insert_one({"_id": "odd", "score": 99.5})
    await live.players.insert_one({"_id": "hidden", "score": 99, "hidden": True, "updatedAt": NOON})
    await eventually(lambda: live.board.total == 14)
    await check.once()
    assert found == ["agreed"]


async def test_rank_check_of_a_wrong_rank_resyncs(live, check, found, caplog):
    await asyncio.gather(*(live.score(f"p{n}", n) for n in range(1, 15)))
    await live.settles()
    live.board._ranks.move(3, 1000)
    with caplog.at_level(logging.ERROR, "leaderboard.ranks"):
        await check.once()
    assert found == ["differed"]
    assert caplog.records[0].rank == caplog.records[0].counted + 1
    await eventually(lambda: live.board.snapshots == 2)
    assert live.restarts == ["ranks_differ"]
    await live.settles()
    await check.once()
    assert found == ["differed", "agreed"]


async def test_rank_check_skips_ranks_beyond_max_rank(live, found):
    check = RankCheck(live.client, live.name, live.board, live.feed, max_rank=2, observe=found.append)
    await asyncio.gather(*(live.score(f"p{n}", n) for n in range(1, 15)))
    await live.settles()
    await live.score("p1", 1)
    await eventually(lambda: live.board.sample() == [2, 5])
    await check.once()
    assert found == []
