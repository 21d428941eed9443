"""The plan in the database: one change at a time, and every process knows it."""

from __future__ import annotations

import asyncio

import pytest
from bson import Timestamp

from tests.support.periods import HOUR, START
from tests.support.wait import eventually
from tornado_app.core.boards import View
from tornado_app.core.model import utc_datetime
from tornado_app.core.periods import Epoch, EpochState
from tornado_app.core.plan import NOTICE, VALID
from tornado_app.mongo.periods.clock import DatabaseClock
from tornado_app.mongo.periods.plan import MalformedPlan, PlanChanged, SharedPlan

HOURLY, SEASON = View("main", "hourly"), View("main", "season")


async def test_plan_is_known_to_a_process_that_only_reads(make_process, clock):
    one, two = make_process(), make_process()
    await two.plan.refresh()
    assert two.plan.current.epochs == {}
    await one.planner.plan()
    clock.time += 1000
    plan = await two.plan.refresh()
    assert plan.epochs == {
        HOURLY: (Epoch(1, START, START + HOUR), Epoch(2, START + HOUR, START + 2 * HOUR)),
        SEASON: (Epoch(1, START),),
    }
    assert plan.valid_until == START + 1000 + VALID
    assert plan == await one.plan.refresh()


async def test_plan_that_did_not_change_is_valid_for_longer_and_not_reported(client, mongo_database, clock):
    changes = []
    plan = SharedPlan(client, mongo_database[1], clock, on_change=changes.append)
    await plan.prepare()
    await plan.refresh()
    await plan.add(SEASON, [Epoch(1, START)])
    await plan.refresh()
    clock.time, clock.error = clock.time + 500, 40
    await plan.refresh()
    assert [len(change.epochs) for change in changes] == [0, 1]
    assert plan.current.known_at == START + 460


async def test_change_of_a_period_leaves_the_epochs_of_others_as_they_are(make_process):
    process = make_process()
    await process.planner.plan()
    before = process.plan.current.epochs
    await process.plan.dropped(SEASON, before[SEASON])
    after = (await process.plan.refresh()).epochs
    assert after[SEASON] == ()
    assert after[HOURLY] is before[HOURLY]


async def test_epochs_that_were_read_with_a_malformed_one_are_planned_once_that_is_restored(make_process, database):
    process, reader = make_process(), make_process()
    await reader.plan.refresh()
    await process.planner.plan()
    season = {"_id": "main.season.1"}
    await database["periods"].update_one(season, {"$set": {"start": "today"}})
    with pytest.raises(MalformedPlan):
        await reader.plan.refresh()
    await database["periods"].update_one(season, {"$set": {"start": utc_datetime(START)}})
    assert await reader.plan.refresh() == process.plan.current


async def test_epoch_is_added_by_one_of_two_planners(make_process):
    one, two = make_process(), make_process()
    results = await asyncio.gather(
        *(process.plan.add(SEASON, [Epoch(1, START + number)]) for number, process in enumerate((one, two))),
        return_exceptions=True,
    )
    assert sorted(map(type, results), key=str) == sorted([type(None), PlanChanged], key=str)
    assert len((await one.plan.refresh()).epochs[SEASON]) == 1


async def test_epochs_are_added_up_to_the_first_one_of_another_planner(make_process):
    """What follows that one would not begin at its end."""
    one, two = make_process(), make_process()
    await one.plan.add(HOURLY, [Epoch(2, START + HOUR, START + 2 * HOUR)])
    with pytest.raises(PlanChanged):
        await two.plan.add(HOURLY, [Epoch(number, START + number, START + number + 1) for number in range(1, 4)])
    plan = await two.plan.refresh()
    assert [(epoch.number, epoch.end) for epoch in plan.epochs[HOURLY]] == [(1, START + 2), (2, START + 2 * HOUR)]


async def test_epoch_after_a_dropped_one_begins_at_its_own_start(make_process):
    process, reader = make_process(), make_process()
    epochs = [Epoch(number, START + number * HOUR, START + (number + 1) * HOUR) for number in range(4)]
    await process.plan.add(HOURLY, epochs)
    await process.plan.dropped(HOURLY, epochs[1:3])
    for each in (process, reader):
        assert (await each.plan.refresh()).epochs[HOURLY] == (epochs[0], epochs[3])


async def test_epochs_are_dropped_unless_another_process_has_changed_one(make_process):
    process = make_process()
    await process.planner.plan()
    first, second = process.plan.current.epochs[HOURLY]
    await make_process().plan.sealed(HOURLY, first, 0, "ab")
    with pytest.raises(PlanChanged):
        await process.plan.dropped(HOURLY, [first, second])
    assert (await process.plan.epoch(HOURLY, 1)).state is EpochState.SEALED


async def test_end_is_set_by_one_of_two_planners(make_process):
    one, two = make_process(), make_process()
    await one.plan.add(SEASON, [Epoch(1, START)])
    results = await asyncio.gather(
        *(
            process.plan.end(SEASON, Epoch(1, START), START + HOUR + number)
            for number, process in enumerate((one, two))
        ),
        return_exceptions=True,
    )
    assert sorted(map(type, results), key=str) == sorted([type(None), PlanChanged], key=str)


async def test_plans_of_two_planners_at_once_are_one_plan(make_process, clock, database):
    """Both believe that they hold the lease."""
    processes = [make_process(), make_process()]
    for _ in range(12):
        results = await asyncio.gather(*(process.planner.plan() for process in processes), return_exceptions=True)
        assert all(result is None or isinstance(result, PlanChanged) for result in results)
        clock.time += HOUR
    await processes[0].planner.plan()
    epochs = (await processes[1].plan.refresh()).epochs[HOURLY]
    assert [epoch.number for epoch in epochs] == list(range(1, 15))
    assert [epoch.end for epoch in epochs] == [START + number * HOUR for number in range(1, 15)]
    assert await database["periods"].count_documents({}) == 15


async def test_end_now_ends_the_open_epoch_and_keeps_the_boundaries_of_the_schedule(make_process, clock):
    one, two = make_process(), make_process()
    await one.planner.plan()
    clock.time += 60_000
    ended = await two.plan.end_now(HOURLY)
    assert ended == Epoch(1, START, clock.time + NOTICE)
    await one.planner.plan()
    assert (await one.plan.refresh()).epochs[HOURLY] == (ended, Epoch(2, ended.end, START + HOUR))
    assert await one.plan.end_now(HOURLY) == ended  # a repetition
    clock.time = ended.end
    await one.planner.plan()
    ends = [epoch.end for epoch in one.plan.current.epochs[HOURLY]]
    assert ends == [ended.end, START + HOUR, START + 2 * HOUR]


async def test_end_now_moves_every_planned_boundary_of_short_epochs(make_process, clock):
    process = make_process()
    epochs = [Epoch(number, START + number * 20_000, START + (number + 1) * 20_000) for number in range(4)]
    await process.plan.add(HOURLY, epochs)
    ended = await process.plan.end_now(HOURLY)
    assert [epoch.end - START for epoch in process.plan.current.epochs[HOURLY]] == [NOTICE, 20_000, 40_000, 60_000]
    assert ended.end == START + NOTICE


async def test_end_now_leaves_an_epoch_without_an_end_as_it_is(make_process):
    """As after a schedule was removed."""
    process = make_process()
    await process.plan.add(HOURLY, [Epoch(1, START, START + HOUR), Epoch(2, START + HOUR)])
    ended = await process.plan.end_now(HOURLY)
    assert process.plan.current.epochs[HOURLY] == (ended, Epoch(2, ended.end))


async def test_end_now_of_a_period_without_a_schedule_is_followed_by_an_epoch_without_an_end(make_process, clock):
    process = make_process()
    await process.planner.plan()
    ended = await process.plan.end_now(SEASON)
    await process.planner.plan()
    assert process.plan.current.epochs[SEASON] == (ended, Epoch(2, ended.end))
    clock.time = ended.end
    assert process.plan.current.open(SEASON, clock.time).number == 2
    assert (await process.plan.end_now(SEASON)).number == 2


async def test_end_now_without_an_open_epoch_is_refused(make_process):
    with pytest.raises(PlanChanged):
        await make_process().plan.end_now(SEASON)


async def test_end_that_arrives_too_late_is_refused(make_process, client):
    """A planner that was stopped for longer than the notice must not end an epoch in the past."""
    process = make_process()
    real = DatabaseClock(client)
    await real.measure()
    begun = Epoch(1, real.now() - HOUR)
    await process.plan.add(SEASON, [begun])
    with pytest.raises(PlanChanged):
        await process.plan.end(SEASON, begun, real.now())
    await process.plan.end(SEASON, begun, real.now() + 2 * NOTICE)


async def test_dropped_epoch_is_not_part_of_the_plan_and_can_be_read(make_process, clock):
    process, reader = make_process(), make_process()
    await process.planner.plan()
    first = process.plan.current.epochs[HOURLY][0]
    await process.plan.sealed(HOURLY, first, 3, "ab")
    sealed = (await process.plan.refresh()).epochs[HOURLY][0]
    assert sealed == Epoch(1, START, START + HOUR, EpochState.SEALED, 3, "ab", START)
    await reader.plan.refresh()
    await process.plan.dropped(HOURLY, [sealed])
    for each in (process, reader, make_process()):
        assert [epoch.number for epoch in (await each.plan.refresh()).epochs[HOURLY]] == [2]
    assert await reader.plan.epoch(HOURLY, 1) == Epoch(1, START, START + HOUR, EpochState.DROPPED, 3, "ab", START)
    assert await reader.plan.epoch(HOURLY, 9) is None


async def test_epoch_that_is_sealed_by_another_process_is_not_sealed_again(make_process):
    process = make_process()
    await process.planner.plan()
    first = process.plan.current.epochs[HOURLY][0]
    await process.plan.sealed(HOURLY, first, 3, "ab")
    with pytest.raises(PlanChanged):
        await process.plan.sealed(HOURLY, first, 4, "cd")


async def test_document_of_another_program_is_an_error_that_names_it(make_process, database):
    process = make_process()
    await database["periods"].insert_one({"_id": "main.x.1", "state": "planned", "revision": Timestamp(9, 9)})
    with pytest.raises(MalformedPlan, match=r"main\.x\.1"):
        await process.plan.refresh()


async def test_plan_is_read_until_cancelled_also_after_errors(make_process, database, caplog):
    process = make_process()
    await database["periods"].insert_one({"_id": "main.x.1", "state": "planned", "revision": Timestamp(9, 9)})
    running = asyncio.create_task(process.plan.run())
    try:
        await eventually(lambda: "the plan of periods cannot be read" in caplog.text)
        await database["periods"].delete_many({})
        await eventually(lambda: process.plan.current is not None)
        await make_process().planner.plan()
        await eventually(lambda: process.plan.current.epochs)
    finally:
        running.cancel()


async def test_reads_of_the_plan_use_its_index(make_process, database):
    process = make_process()
    await process.plan.prepare()
    await process.planner.plan()
    found = await database["periods"].find({"revision": {"$gte": Timestamp(1, 0)}}).explain()
    assert "IXSCAN" in str(found["queryPlanner"]["winningPlan"])
