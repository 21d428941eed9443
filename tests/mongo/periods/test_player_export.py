"""A player's export has the rows of results and the disqualifications, of all boards."""

from __future__ import annotations

from functools import partial

import pytest

from tests.mongo.periods.test_erasure import HOURLY, HOURS, players
from tests.support.fail_points import failing_commands
from tests.support.ledger_harness import moderation_request
from tests.support.periods import HOUR, START
from tornado_app.core.boards import Board
from tornado_app.core.errors import DatabaseError
from tornado_app.core.model import rfc3339, utc_datetime
from tornado_app.core.plan import GRACE
from tornado_app.mongo.ledger.reader import Ledger
from tornado_app.mongo.periods import results as module
from tornado_app.mongo.periods.disqualification import Disqualifications
from tornado_app.mongo.periods.player_export import player_export
from tornado_app.mongo.players.moderation import MongoModeration


@pytest.fixture
async def moderation(make_process, client, mongo_database, database, clock, monkeypatch):
    """Moderation of a database with a sealed epoch of bob and carol on `main`, from which alice is disqualified, and
    results of bob on a board that is not served."""
    monkeypatch.setattr(module, "UNION", 2)
    name = mongo_database[1]
    process = make_process(Board(periods=HOURS))
    await process.plan.prepare()
    await process.planner.plan()
    await database["players"].insert_many(players("alice", "bob", "carol"))
    disqualifications = Disqualifications(client, name)
    for player, number in (("alice", 2), ("alice", 1), ("carol", 2)):
        await disqualifications.change(HOURLY, number, moderation_request(player), disqualified=True)
    clock.time += HOUR
    await process.planner.plan()
    await process.seal_after(GRACE)
    await database["players.kart"].insert_one({"_id": "bob"})
    row = {"_id": "bob", "place": 4, "rank": 3, "score": 0, "at": utc_datetime(START), "username": "Bob"}
    for number in (10, 9):
        await database[f"results.kart.hourly.{number}"].insert_one(row)
    await database["results.kart.hourly.11.unfinished-0a1b2c3d"].insert_one(row)
    return MongoModeration(client, name, Ledger(database), export_results=partial(player_export, database), timeout=2.0)


async def test_export_has_the_rows_of_finished_results_of_all_boards(moderation):
    found = await moderation.export("bob")
    kart = {"board": "kart", "period": "hourly", "place": 4, "rank": 3, "score": 0, "username": "Bob"}
    assert found["results"] == [
        kart | {"epoch": 9, "at": rfc3339(START)},
        kart | {"epoch": 10, "at": rfc3339(START)},
        {"board": "main", "period": "hourly", "epoch": 1, "place": 1, "rank": 1, "score": 8, "at": rfc3339(START)},
    ]
    assert found["disqualified"] == []


async def test_export_has_the_epochs_in_which_the_player_is_disqualified(moderation):
    found = await moderation.export("alice")
    assert found["results"] == []
    case = moderation_request("alice")
    assert [each.pop("at")[-1] for each in found["disqualified"]] == ["Z", "Z"]
    epoch = {"board": "main", "period": "hourly", "player": "alice", "by": case.by, "reason": case.reason}
    assert found["disqualified"] == [epoch | {"epoch": 1}, epoch | {"epoch": 2}]


async def test_export_searches_no_results_of_boards_without_the_player(moderation, database):
    await database["players.kart"].delete_one({"_id": "bob"})
    assert [each["board"] for each in (await moderation.export("bob"))["results"]] == ["main"]


async def test_export_from_results_that_do_not_answer_fails_in_time(moderation, replica_set):
    async with failing_commands(replica_set, "aggregate", until=1, blockConnection=True, blockTimeMS=5000):
        with pytest.raises(DatabaseError):
            await moderation.export("bob")
