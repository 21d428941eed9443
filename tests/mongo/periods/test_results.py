"""Reads of results: pages in the order of places, and one player."""

from __future__ import annotations

import pytest

from tests.support.fail_points import failing_commands
from tornado_app.core.boards import View
from tornado_app.core.errors import DatabaseError
from tornado_app.core.model import Place, Player, Standing, utc_datetime
from tornado_app.mongo.periods import results as module
from tornado_app.mongo.periods.results import Results

WEEKLY = View("main", "weekly")


@pytest.fixture
async def results(client, mongo_database, database):
    rows = [
        {"_id": f"p{place}", "place": place, "rank": 1 + place // 3, "score": 100 - place, "at": utc_datetime(place)}
        for place in range(1, 8)
    ]
    rows[1] |= {"username": "Zoë", "avatarUrl": "https://a.example/1"}
    await database["results.main.weekly.14"].insert_many(reversed(rows))
    return Results(client, mongo_database[1])


async def test_page_has_the_rows_after_a_place(results):
    pages = [await results.page(WEEKLY, 14, after=after, limit=3) for after in (0, 3, 6, 7)]
    assert [[row.number for row in page] for page in pages] == [[1, 2, 3], [4, 5, 6], [7], []]
    assert pages[0][1] == Place(2, Standing(1, Player("p2", 98, 2, "Zoë", "https://a.example/1")))


async def test_page_of_an_epoch_without_a_result_is_empty(results):
    assert await results.page(WEEKLY, 15, limit=3) == []


async def test_player_has_the_own_row(results):
    assert await results.player(WEEKLY, 14, "p7") == Place(7, Standing(3, Player("p7", 93, 7, "p7")))
    assert await results.player(WEEKLY, 14, "p8") is None


async def test_lines_are_read_in_batches_and_digested(results, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 3)
    batches = [batch async for batch in results.lines(WEEKLY, 14)]
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert batches[0][1] == (
        b'{"place":2,"rank":1,"user_id":"p2","username":"Zo\xc3\xab","score":98,'
        b'"updated_at":"1970-01-01T00:00:00.002Z","avatar_url":"https://a.example/1"}\n'
    )
    whole = await results.digest(WEEKLY, 14)
    monkeypatch.setattr(module, "BATCH", 500)
    assert whole == await results.digest(WEEKLY, 14)
    assert whole[0] == 7


async def test_read_that_the_database_does_not_answer_is_an_error(results, replica_set):
    async with failing_commands(replica_set, "find", until=2, errorCode=8000):
        for read in (results.page(WEEKLY, 14, limit=1), results.player(WEEKLY, 14, "p1")):
            with pytest.raises(DatabaseError):
                await read
