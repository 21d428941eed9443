"""A disqualified player is not in the result of the epoch, unless it is final or being made."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from tests.mongo.periods.test_erasure import HOURLY, HOURS, Stopped, players
from tests.support.ledger_harness import moderation_request
from tests.support.periods import HOUR
from tornado_app.core.boards import Board
from tornado_app.core.errors import InvalidBody, PeriodNotFound, PlayerNotFound, ResultFinal
from tornado_app.core.plan import GRACE
from tornado_app.mongo.periods import disqualification as module
from tornado_app.mongo.periods.disqualification import Disqualifications
from tornado_app.mongo.periods.erasure import ResultEraser
from tornado_app.mongo.periods.results import Results

BOB = moderation_request("bob")


@pytest.fixture
async def periods(make_process, client, mongo_database, database, clock):
    """A process with an open epoch of three players, and what the tests read and call."""
    process = make_process(Board(periods=HOURS))
    name = mongo_database[1]
    results, disqualifications = Results(client, name), Disqualifications(client, name)
    await process.plan.prepare()
    await process.planner.plan()
    await database["players"].insert_many(players("alice", "bob", "carol"))

    async def change(case=BOB, number=1, *, disqualified=True):
        return await disqualifications.change(HOURLY, number, case, disqualified=disqualified)

    async def end():
        clock.time += HOUR
        await process.planner.plan()
        await process.planner.seal()
        clock.time += GRACE

    async def ranks(number=1):
        rows = await results.page(HOURLY, number, limit=99)
        return {row.standing.player.user_id: (row.number, row.standing.rank) for row in rows}

    async def listed(number=1):
        document = await database["periods"].find_one({"_id": f"main.hourly.{number}"})
        return [each["player"] for each in document.get("disqualified", [])]

    return SimpleNamespace(
        process=process,
        change=change,
        end=end,
        seal=process.planner.seal,
        ranks=ranks,
        listed=listed,
        erase=ResultEraser(client, name).erase,
        database=database,
        disqualifications=disqualifications,
    )


async def test_disqualified_player_is_left_out_of_the_result_of_the_epoch_only(periods):
    assert await periods.change()
    assert not await periods.change()
    await periods.end()
    await periods.database["players"].update_many({}, {"$set": {"w.hourly.p": []}})
    await periods.seal()
    assert await periods.ranks() == {"alice": (1, 1), "carol": (2, 2)}
    assert (await periods.process.plan.epoch(HOURLY, 1)).rows == 2
    await periods.database["players"].update_many({}, {"$set": {"w.hourly.e": 2}})
    await periods.end()
    await periods.seal()
    assert set(await periods.ranks(2)) == {"alice", "bob", "carol"}


async def test_player_is_in_the_result_after_the_disqualification_is_taken_back(periods):
    assert not await periods.change(disqualified=False)
    await periods.change()
    await periods.end()  # as in a review
    assert await periods.change(disqualified=False)
    assert not await periods.change(disqualified=False)
    await periods.seal()
    assert set(await periods.ranks()) == {"alice", "bob", "carol"}


@pytest.mark.parametrize("disqualified", [True, False])
async def test_final_result_is_not_changed(periods, disqualified):
    if not disqualified:
        await periods.change()
    await periods.end()
    await periods.seal()
    before = await periods.ranks()
    with pytest.raises(ResultFinal):
        await periods.change(disqualified=disqualified)
    assert await periods.ranks() == before


async def test_result_that_is_being_made_is_not_changed(periods):
    await periods.end()

    async def meanwhile():
        with pytest.raises(ResultFinal):
            await periods.change()

    sealer = periods.process.planner._sealer  # where it is stopped: between two of its steps
    sealer._database = Stopped(sealer._database, meanwhile)
    await periods.seal()
    assert set(await periods.ranks()) == {"alice", "bob", "carol"}


async def test_result_agrees_with_each_answer_to_disqualifications_during_its_sealing(periods):
    names = [f"p{number}" for number in range(12)]
    await periods.database["players"].insert_many(players(*names))
    await periods.end()
    answers = await asyncio.gather(
        periods.seal(), *(periods.change(moderation_request(name)) for name in names), return_exceptions=True
    )
    assert answers[0] is None
    left_out = {name for name, answer in zip(names, answers[1:], strict=True) if answer is True}
    refused = {name for name, answer in zip(names, answers[1:], strict=True) if isinstance(answer, ResultFinal)}
    assert left_out | refused == {*names}
    assert {*await periods.ranks()} == refused | {"alice", "bob", "carol"}


async def test_unknown_player_and_unknown_epoch_are_not_found(periods):
    await periods.database["players"].insert_one({"_id": "erased", "erased": True})
    for player in ("dave", "erased"):
        with pytest.raises(PlayerNotFound):
            await periods.change(moderation_request(player))
    with pytest.raises(PeriodNotFound):
        await periods.change(number=9)


async def test_list_of_an_epoch_is_bounded(periods, monkeypatch):
    monkeypatch.setattr(module, "MAX_DISQUALIFIED", 2)
    for player in ("alice", "bob"):
        assert await periods.change(moderation_request(player))
    with pytest.raises(InvalidBody, match="2 disqualified players, which is the maximum"):
        await periods.change(moderation_request("carol"))
    assert not await periods.change()
    assert await periods.listed() == ["alice", "bob"]


async def test_erasure_removes_the_player_from_the_list_also_of_a_final_result(periods):
    for number in (1, 2):
        await periods.change(number=number)
    await periods.change(moderation_request("carol"))
    await periods.end()
    await periods.seal()
    before = await periods.process.plan.epoch(HOURLY, 1)
    await periods.database["players"].delete_one({"_id": "bob"})
    await periods.erase("bob")
    assert [await periods.listed(number) for number in (1, 2)] == [["carol"], []]
    assert await periods.process.plan.epoch(HOURLY, 1) == before


@pytest.mark.parametrize("sealed", [False, True], ids=["not sealed", "sealed meanwhile"])
async def test_disqualification_during_an_erasure_leaves_no_trace(periods, monkeypatch, sealed):
    add = periods.disqualifications._add  # between its two steps
    if sealed:
        await periods.end()

    async def erased_before(epoch, case):
        await periods.database["players"].delete_one({"_id": "bob"})
        await periods.erase("bob")
        added = await add(epoch, case)
        if sealed:
            await periods.seal()
        return added

    monkeypatch.setattr(periods.disqualifications, "_add", erased_before)
    with pytest.raises(PlayerNotFound):
        await periods.change()
    assert await periods.listed() == []


async def test_dropped_epoch_has_no_list(periods):
    await periods.change()
    await periods.end()
    await periods.seal()
    await periods.process.plan.dropped(HOURLY, [await periods.process.plan.epoch(HOURLY, 1)])
    assert await periods.listed() == []
