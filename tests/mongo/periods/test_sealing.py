"""A sealed result is that of a model, whole, and the same after a death at any step."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta
from hashlib import sha256

import pytest
from bson import Int64
from pymongo.errors import PyMongoError

from tests.support.fail_points import failing_commands
from tests.support.periods import HOUR, START
from tornado_app.core.boards import Board, Order, View
from tornado_app.core.model import rfc3339, utc_datetime
from tornado_app.core.periods import Cron, Epoch, EpochState, Period
from tornado_app.core.plan import GRACE
from tornado_app.mongo.periods.plan import PlanChanged
from tornado_app.mongo.periods.results import Results, epoch_of

HOURLY = View("main", "hourly")
EPOCH = 3
AT = utc_datetime(START)


def random_player(rnd: random.Random, number: int) -> dict:
    """A player's document: the slot is of the epoch, of a later or an earlier one, or odd."""
    score = rnd.choice([0, 1, 2, 2, 3, -5, 2**40, Int64(7), None])
    at = AT + timedelta(milliseconds=rnd.randrange(3))
    own = [] if score is None else [[EPOCH, score, at]]
    slot = rnd.choice(
        [
            {"e": EPOCH, "s": score, "t": at},
            {"e": EPOCH, "s": score, "t": at, "p": [[EPOCH - 1, 99, AT]]},
            {"e": EPOCH + 1, "s": 50, "t": AT, "p": own},
            {"e": EPOCH + 2, "s": 50, "t": AT, "p": [[EPOCH - 1, 99, AT], *own, [EPOCH + 1, 98, AT]]},
            {"e": EPOCH + 1, "s": 50, "t": AT},
            {"e": EPOCH - 1, "s": 50, "t": AT},
            {"e": EPOCH, "t": AT},
            {"e": EPOCH, "s": 1.5, "t": AT},
            {"e": EPOCH, "s": 5, "t": "yesterday"},
            {"e": EPOCH + 1, "s": 5, "t": AT, "p": "damaged"},
            {"e": EPOCH + 1, "s": 5, "t": AT, "p": ["damaged", 7]},
            "damaged",
        ]
    )
    names = rnd.choice(
        [
            {},
            {"username": "Zoë"},
            {"username": "Zoë", "ownUsername": "Z", "ownAvatarUrl": None, "avatarUrl": "https://a.example/1"},
            {"username": "Zoë", "ownUsername": None, "avatarUrl": "https://a.example/1"},
            {"username": 7},
        ]
    )
    hidden = rnd.choice([{}, {}, {}, {"hidden": True}, {"hidden": False}, {"suspended": True}])
    periods = rnd.choice(
        [{"hourly": slot}, {"hourly": slot, "other": {"e": EPOCH, "s": 1000, "t": AT}}, {"other": slot}]
    )
    return {"_id": f"player-{number:02}", "score": 1000, "w": periods, **names, **hidden}


def text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def model(players: list[dict], order: Order) -> list[dict]:
    """The rows of the result, as their lines have them."""
    entries = []
    for player in players:
        slot = player["w"].get("hourly")
        if player.get("hidden") is True or not isinstance(slot, dict):
            continue
        found = {slot["e"]: (slot.get("s"), slot["t"])}
        earlier = slot["p"] if isinstance(slot.get("p"), list) else []
        found |= {each[0]: (each[1], each[2]) for each in earlier if isinstance(each, list)}
        score, at = found.get(EPOCH, (None, None))
        if isinstance(score, int) and isinstance(at, datetime):
            entries.append((score, at, player))
    entries.sort(key=lambda each: (each[0] if order is Order.ASCENDING else -each[0], each[1], each[2]["_id"]))
    scores = [score for score, _, _ in entries]
    rows = []
    for place, (score, at, player) in enumerate(entries, start=1):
        name = text(player.get("ownUsername", player.get("username"))) or player["_id"]
        avatar = text(player.get("ownAvatarUrl", player.get("avatarUrl")))
        rows.append(
            {
                "place": place,
                "rank": scores.index(score) + 1,
                "user_id": player["_id"],
                "username": name,
                "score": score,
                "updated_at": rfc3339(round(at.timestamp() * 1000)),
                **({} if avatar is None else {"avatar_url": avatar}),
            }
        )
    return rows


@pytest.fixture
def results(client, mongo_database):
    return Results(client, mongo_database[1])


async def lines(results: Results, number: int = EPOCH) -> list[bytes]:
    return [line async for batch in results.lines(HOURLY, number) for line in batch]


async def reach_third_epoch(process, clock, keep: int = 12, order: Order = Order.DESCENDING, review: float = 0.0):
    """The third epoch of the period is the first one that is not sealed."""
    process.boards = (Board(order=order, periods=(Period("hourly", Cron("0 * * * *"), keep, review),)),)
    await process.planner.plan()
    clock.time += 2 * HOUR
    await process.planner.plan()
    await process.seal_after(GRACE + round(review * 1000))
    assert process.plan.current.unsealed(HOURLY) == EPOCH


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("seed", range(4))
async def test_result_is_that_of_the_model(make_process, clock, database, results, order, seed):
    rnd = random.Random(seed)
    players = [random_player(rnd, number) for number in range(rnd.choice([1, 40, 400]))]
    process = make_process()
    await reach_third_epoch(process, clock, order=order)
    others = 0 if seed % 2 else 20 * len(players)  # with many, the players of the epoch are read by an index
    await database["players"].insert_many([*players, *({"_id": f"other-{n}", "score": 1} for n in range(others))])
    await database["players"].insert_one({"_id": 7, "w": {"hourly": {"e": EPOCH, "s": 1, "t": AT}}})
    clock.time += HOUR
    await process.seal_after(GRACE)
    expected = model(players, order)
    found = await lines(results)
    assert [json.loads(line) for line in found] == expected
    epoch = process.plan.current.epochs[HOURLY][EPOCH - 1]
    assert (epoch.state, epoch.rows) == (EpochState.SEALED, len(expected))
    assert epoch.sha256 == sha256(b"".join(found)).hexdigest()
    assert (epoch.start, epoch.end) == (START + 2 * HOUR, START + 3 * HOUR)


async def test_result_of_another_board_is_made_from_its_players(make_process, clock, database, results):
    board = Board("kart-cup", order=Order.ASCENDING, periods=(Period("hourly", Cron("0 * * * *")),))
    process = make_process(board)
    await process.planner.plan()
    for collection, user_id in (("players", "alice"), ("players.kart-cup", "bob")):
        await database[collection].insert_one({"_id": user_id, "w": {"hourly": {"e": 1, "s": 1, "t": AT}}})
    clock.time += HOUR
    await process.seal_after(GRACE)
    rows = await results.page(View("kart-cup", "hourly"), 1, limit=5)
    assert [row.standing.player.user_id for row in rows] == ["bob"]


async def test_result_without_players_is_a_collection_without_rows(make_process, clock, results, database):
    process = make_process()
    await reach_third_epoch(process, clock)
    assert [epoch.rows for epoch in process.plan.current.epochs[HOURLY]] == [0, 0, None, None]
    assert process.plan.current.epochs[HOURLY][0].sha256 == sha256(b"").hexdigest()
    assert await results.page(HOURLY, 1, limit=5) == []
    assert "results.main.hourly.1" in await database.list_collection_names()


async def test_epoch_is_sealed_after_grace_and_review(make_process, clock):
    process = make_process()
    await reach_third_epoch(process, clock, review=60)
    clock.time = START + 3 * HOUR
    await process.planner.plan()
    for before in (0, GRACE + 60_000 - 1):
        clock.time = START + 3 * HOUR + before
        await process.planner.seal()
        await process.plan.refresh()
        assert process.plan.current.unsealed(HOURLY) == EPOCH
    clock.time += 1
    clock.error = 1
    await process.planner.seal()
    assert process.plan.current.unsealed(HOURLY) == EPOCH
    clock.time += 1
    await process.planner.seal()
    assert process.plan.current.unsealed(HOURLY) == EPOCH + 1


async def test_epoch_is_sealed_grace_after_its_end_was_seen(make_process, clock):
    """Another process may rely on the plan without this end until then."""
    await make_process().planner.plan()
    clock.time += 5 * HOUR
    process = make_process()
    await process.planner.plan()
    await process.planner.seal()
    clock.time += GRACE - 1
    await process.planner.seal()
    assert process.plan.current.unsealed(HOURLY) == 1
    clock.time += 1
    await process.planner.seal()
    assert process.plan.current.unsealed(HOURLY) == 6


STEPS = {
    "listing": ("listCollections", False),
    "rows": ("aggregate", False),
    "rename": ("renameCollection", False),
    "renamed": ("renameCollection", True),
    "index": ("createIndexes", False),
    "digest": ("find", False),
    "record": ("update", False),
}
"""The command that fails once, and whether it is done before the failure."""


@pytest.mark.parametrize("step", STEPS)
async def test_result_is_the_same_after_a_death_at_a_step(make_process, clock, database, results, replica_set, step):
    rnd = random.Random(step)
    players = [random_player(rnd, number) for number in range(50)]
    first = make_process()
    await reach_third_epoch(first, clock)
    await database["players"].insert_many(players)
    clock.time = START + 3 * HOUR
    await first.planner.plan()
    await first.planner.seal()
    clock.time += GRACE
    command, done = STEPS[step]
    how = {"writeConcernError": {"code": 64, "errmsg": "no majority"}} if done else {"errorCode": 8000}
    async with failing_commands(replica_set, command, until=1, **how):
        with pytest.raises(PyMongoError):
            await first.planner.seal()
    second = make_process(*first.boards)
    await second.plan.refresh()
    assert second.plan.current.unsealed(HOURLY) == EPOCH
    await second.seal_after(GRACE)
    assert [json.loads(line) for line in await lines(results)] == model(players, Order.DESCENDING)
    with pytest.raises(PlanChanged):  # the first one was stopped, and continues
        await first.plan.sealed(HOURLY, first.plan.current.epochs[HOURLY][EPOCH - 1], 0, "")
    epoch = second.plan.current.epochs[HOURLY][EPOCH - 1]
    assert epoch.sha256 == (await results.digest(HOURLY, EPOCH))[1]


async def test_result_that_exists_is_not_replaced_by_a_process_that_was_stopped(make_process, clock, database, results):
    """It made its rows before a player was hidden, and continues after the other one has sealed the epoch."""
    await database["players"].insert_many(
        [{"_id": name, "w": {"hourly": {"e": EPOCH, "s": 5, "t": AT}}} for name in ("alice", "bob")]
    )
    first, second = make_process(), make_process()
    await reach_third_epoch(first, clock)
    second.boards = first.boards
    clock.time = START + 3 * HOUR
    for process in (first, second):
        await process.planner.plan()
        await process.planner.seal()
    clock.time += GRACE
    sealer = first.planner._sealer  # where it is stopped: between two of its steps
    make = sealer._make

    async def stopped(*arguments):
        await second.planner.seal()
        await database["players"].update_one({"_id": "bob"}, {"$set": {"hidden": True}})
        await make(*arguments)

    sealer._make = stopped
    with pytest.raises(PlanChanged):
        await first.planner.seal()
    assert [json.loads(line)["user_id"] for line in await lines(results)] == ["alice", "bob"]
    assert not [name for name in await database.list_collection_names() if "unfinished" in name]
    assert (await second.plan.refresh()).epochs[HOURLY][EPOCH - 1].rows == 2


async def test_period_that_cannot_be_sealed_does_not_keep_another_from_it(make_process, clock):
    hourly = Cron("0 * * * *")
    process = make_process(Board(periods=(Period("hourly", hourly), Period("second", hourly))))
    await process.planner.plan()
    sealer = process.planner._sealer  # the only way to one fault
    make = sealer._make

    async def fails(board, view, *rest):
        if view == HOURLY:
            raise PyMongoError("disk full")
        await make(board, view, *rest)

    sealer._make = fails
    clock.time += HOUR
    await process.planner.plan()
    await process.planner.seal()
    clock.time += GRACE
    with pytest.raises(PyMongoError, match="disk full"):
        await process.planner.seal()
    states = {view.period: epochs[0].state for view, epochs in process.plan.current.epochs.items()}
    assert states == {"hourly": EpochState.PLANNED, "second": EpochState.SEALED}


async def test_results_beyond_those_that_are_kept_are_dropped(make_process, clock, database):
    process = make_process()
    await reach_third_epoch(process, clock, keep=2)
    for _ in range(3):
        clock.time += HOUR
        await process.seal_after(GRACE)
    names = [name for name in await database.list_collection_names() if name.startswith("results.")]
    assert sorted(names) == ["results.main.hourly.4", "results.main.hourly.5"]
    assert sorted(map(epoch_of, names)) == ["main.hourly.4", "main.hourly.5"]
    assert [epoch.number for epoch in process.plan.current.epochs[HOURLY]][:3] == [4, 5, 6]
    dropped = await process.plan.epoch(HOURLY, 1)
    assert (dropped.state, dropped.rows) == (EpochState.DROPPED, 0)


async def test_board_that_is_not_served_with_other_periods_yet_keeps_its_results(make_process, clock):
    served, wanted = (Board(periods=(Period("hourly", Cron("0 * * * *"), keep=keep),)) for keep in (2, 1))
    process = make_process(served, wanted)
    await process.planner.plan()
    for _ in range(2):
        clock.time += HOUR
        await process.planner.plan()
        await process.seal_after(GRACE)
    assert [epoch.state for epoch in process.plan.current.epochs[HOURLY]][:2] == [EpochState.SEALED] * 2


async def test_missed_epochs_of_which_newer_results_are_kept_have_none(make_process, clock, database, results):
    process = make_process()
    await reach_third_epoch(process, clock, keep=2)
    process = make_process(*process.boards)
    await database["players"].insert_one({"_id": "alice", "w": {"hourly": {"e": EPOCH + 3, "s": 5, "t": AT}}})
    clock.time += 5 * HOUR
    await process.planner.plan()
    await process.seal_after(GRACE)
    names = [name for name in await database.list_collection_names() if name.startswith("results.")]
    assert sorted(names) == ["results.main.hourly.6", "results.main.hourly.7"]
    assert len(await lines(results, EPOCH + 3)) == 1
    epochs = process.plan.current.epochs[HOURLY]
    assert [(epoch.number, epoch.state) for epoch in epochs[:3]] == [
        (6, EpochState.SEALED),
        (7, EpochState.SEALED),
        (8, EpochState.PLANNED),
    ]
    start = START + (EPOCH - 1) * HOUR
    assert await process.plan.epoch(HOURLY, EPOCH) == Epoch(EPOCH, start, start + HOUR, EpochState.DROPPED)
    assert (await process.plan.epoch(HOURLY, 1)).rows == 0
    assert process.plan._stored.keys() == {f"main.hourly.{number}" for number in range(6, 10)}  # bounded


async def test_epoch_has_a_result_while_the_review_of_newer_ones_is_not_over(make_process, clock):
    process = make_process()
    await reach_third_epoch(process, clock, keep=1, review=3600)
    clock.time = START + 5 * HOUR + GRACE - 1
    await process.planner.plan()
    await process.planner.seal()
    assert (await process.plan.epoch(HOURLY, EPOCH)).state is EpochState.SEALED
    assert process.plan.current.unsealed(HOURLY) == EPOCH + 1


async def test_clean_up_removes_what_a_death_left(make_process, clock, database, client, mongo_database):
    process = make_process()
    await reach_third_epoch(process, clock)
    await process.plan.dropped(HOURLY, process.plan.current.epochs[HOURLY][:1])
    await database["results.main.hourly.3.unfinished-0a1b2c3d"].insert_one({})
    await database["results.own"].insert_one({})
    await process.planner._sealer.clean_up()  # the planner calls it when it takes the lease
    names = [name for name in await database.list_collection_names() if name.startswith("results.")]
    assert sorted(names) == ["results.main.hourly.2", "results.own"]
