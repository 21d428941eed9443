"""One process plans and seals; another one continues when it is gone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from tests.support.fail_points import failing_commands
from tests.support.periods import HOUR, START
from tests.support.wait import eventually
from tornado_app.core import plan as core_plan
from tornado_app.core.boards import Board, View
from tornado_app.core.periods import Cron, Epoch, EpochState, Every, Period
from tornado_app.core.plan import GRACE
from tornado_app.mongo.periods import planner, sealing
from tornado_app.mongo.periods.clock import DatabaseClock
from tornado_app.mongo.periods.plan import SharedPlan
from tornado_app.mongo.periods.planner import URGENT, Planner
from tornado_app.runtime.tasks import cancel_and_wait

HOURLY = View("main", "hourly")


async def test_epochs_are_planned_two_boundaries_ahead_at_each_time(make_process, clock):
    process = make_process()
    for hour in range(5):
        await process.planner.plan()
        epochs = process.plan.current.epochs[HOURLY]
        assert [epoch.end for epoch in epochs] == [START + number * HOUR for number in range(1, hour + 3)]
        clock.time += HOUR


async def test_processes_that_were_down_over_three_boundaries_seal_three_results(make_process, clock, database):
    await make_process().planner.plan()
    await database["players"].insert_one(
        {"_id": "alice", "w": {"hourly": {"e": 1, "s": 5, "t": datetime(2040, 1, 2, 10, 5, tzinfo=UTC)}}}
    )
    clock.time += 3 * HOUR + 60_000
    process = make_process()
    process.boards = (Board(periods=(Period("hourly", Cron("0 * * * *")),)),)
    await process.planner.plan()
    await process.seal_after(GRACE)
    epochs = process.plan.current.epochs[HOURLY]
    assert [(epoch.state, epoch.rows) for epoch in epochs] == [
        (EpochState.SEALED, 1),
        (EpochState.SEALED, 0),
        (EpochState.SEALED, 0),
        (EpochState.PLANNED, None),
        (EpochState.PLANNED, None),
    ]
    assert process.plan.current.open(HOURLY, clock.time).number == 4
    assert process.plan.current.unsealed(HOURLY) == 4


async def test_schedule_that_changed_is_used_after_the_announced_boundaries(make_process, clock):
    process = make_process()
    await process.planner.plan()
    process.boards = (Board(periods=(Period("hourly", Cron("30 * * * *")),)),)
    await process.planner.plan()
    assert len(process.plan.current.epochs[HOURLY]) == 2
    clock.time += HOUR
    await process.planner.plan()
    assert process.plan.current.epochs[HOURLY][-1].end == START + 2 * HOUR + HOUR // 2


async def test_period_that_is_removed_and_added_again_continues_its_epochs(make_process, clock):
    process = make_process()
    await process.planner.plan()
    boards, process.boards = process.boards, (Board(),)
    clock.time += 3 * HOUR
    await process.planner.plan()
    await process.planner.seal()
    assert len(process.plan.current.epochs[HOURLY]) == 2
    process.boards = boards
    await process.planner.plan()
    assert process.plan.current.open(HOURLY, clock.time).number == 4


async def test_epoch_that_was_open_when_its_period_was_removed_has_its_result_when_the_period_is_back(
    make_process, clock, database
):
    board = Board(periods=(Period("hourly", Cron("0 * * * *")),))
    process = make_process(board)
    await process.planner.plan()
    await database["players"].insert_one(
        {"_id": "alice", "w": {"hourly": {"e": 1, "s": 5, "t": datetime(2040, 1, 2, 10, 5, tzinfo=UTC)}}}
    )
    await process.planner.seal()
    process.boards = (Board(),)
    clock.time += 3 * HOUR
    await process.seal_after(GRACE)
    assert process.plan.current.unsealed(HOURLY) == 1
    assert process.planner._sealer._seen == {}  # nothing is kept of a period that may never come back
    process.boards = (board,)
    await process.planner.plan()
    await process.seal_after(GRACE)
    assert [(epoch.state, epoch.rows) for epoch in process.plan.current.epochs[HOURLY]][:3] == [
        (EpochState.SEALED, 1),
        (EpochState.SEALED, 0),
        (EpochState.SEALED, 0),
    ]


async def test_period_is_planned_beside_one_with_an_epoch_in_each_turn_that_its_board_has_already(make_process, clock):
    fast = Period("fast", Every("1s", datetime(2039, 1, 1)))  # noqa: DTZ001  # is local
    process = make_process(Board(periods=(fast,)))
    await process.planner.plan()
    process.boards = (Board(periods=(fast,)), Board(periods=(fast, Period("season"))))  # as while it is rebuilt
    clock.time += 1000
    await process.planner.plan()
    assert process.plan.current.open(View("main", "season"), clock.time).number == 1


async def test_period_with_many_missed_epochs_does_not_keep_another_from_its_own(make_process, clock, monkeypatch):
    monkeypatch.setattr(planner, "MAX_ADDED", 2)
    process = make_process(Board(periods=(Period("hourly", Cron("0 * * * *")), Period("daily", Cron("0 0 * * *")))))
    await process.planner.plan()
    clock.time += 15 * HOUR
    order, add = [], process.plan.add

    async def noted(view, epochs):
        order.append((view.period, len(epochs)))
        await add(view, epochs)

    process.plan.add = noted
    await process.planner.plan()
    assert order[:3] == [("hourly", 2), ("daily", 1), ("hourly", 2)]
    assert process.plan.current.open(HOURLY, clock.time).number == 16


async def test_process_without_the_lease_plans_what_the_holder_does_not_know(make_process, clock):
    """Not sooner than that, as the holder may have the period: once at the beginning, and shortly before the end."""
    process = make_process(Board(periods=(Period("hourly", Cron("0 * * * *")),)))
    await process.plan.refresh()
    await process.planner.plan_urgent()
    assert [epoch.end for epoch in process.plan.current.epochs[HOURLY]] == [START + HOUR, START + 2 * HOUR]
    for before, epochs in ((URGENT, 2), (URGENT - 1, 3)):
        clock.time = START + 2 * HOUR - before
        await process.planner.plan_urgent()
        assert len(process.plan.current.epochs[HOURLY]) == epochs


async def test_period_ended_by_hand_is_continued_by_a_process_without_the_lease(make_process, clock):
    process, season = make_process(Board(periods=(Period("season"),))), View("main", "season")
    await process.plan.refresh()
    await process.planner.plan_urgent()
    ended = await process.plan.end_now(season)
    await process.planner.plan_urgent()
    assert process.plan.current.epochs[season] == (ended,)
    clock.time = ended.end
    await process.planner.plan_urgent()
    assert process.plan.current.epochs[season] == (ended, Epoch(2, ended.end))


@pytest.fixture
async def start(client, mongo_database):
    """A function that starts a process with its own tasks, as the service does, on the clock of the database."""
    running = []

    def start(*periods: Period, ttl: float = 1.0):
        clock = DatabaseClock(client)
        plan = SharedPlan(client, mongo_database[1], clock)
        planner = Planner(client, mongo_database[1], plan, clock, lambda: (Board(periods=periods),), ttl=ttl)
        tasks = [asyncio.create_task(plan.run()), asyncio.create_task(planner.run())]
        running.extend(tasks)
        return plan, planner, tasks, clock

    yield start
    await cancel_and_wait(*running)


async def test_planner_that_ends_is_followed_by_another_process(start):
    season = Period("season")
    plan, planner, tasks, _ = start(season)
    await eventually(lambda: plan.current is not None and plan.current.epochs)
    other_plan, other, _, _ = start(season)
    await eventually(lambda: other_plan.current is not None and other_plan.current.epochs)
    assert planner.holds
    assert not other.holds
    await cancel_and_wait(*tasks)
    await planner.close()
    await eventually(lambda: other.holds, 5)
    ended = await other_plan.end_now(View("main", "season"))
    await eventually(lambda: len(other_plan.current.epochs[View("main", "season")]) == 2)
    assert other_plan.current.epochs[View("main", "season")][1].start == ended.end


async def test_period_that_the_process_with_the_lease_does_not_know_is_planned_by_another_one(start):
    _, holder, _, _ = start()
    await eventually(lambda: holder.holds)
    plan, other, _, clock = start(Period("season"))
    await eventually(lambda: plan.current is not None and plan.current.open(View("main", "season"), clock.now()))
    assert holder.holds
    assert not other.holds


async def test_planner_that_lost_its_lease_stops_and_takes_it_again(start, database, caplog):
    plan, planner, _, _ = start(Period("season"))
    await eventually(lambda: planner.holds and plan.current is not None and plan.current.epochs)
    other = {"holder": "another", "until": datetime(2100, 1, 1, tzinfo=UTC)}
    await database["leases"].update_one({"_id": "periods"}, {"$set": other})
    await eventually(lambda: "the lease of the plan of periods is lost" in caplog.text)
    assert not planner.holds
    await database["leases"].delete_one({"_id": "periods"})
    await eventually(lambda: planner.holds)


async def test_planner_continues_after_errors_of_the_database(start, replica_set, caplog):
    async with failing_commands(replica_set, "insert", until=1, errorCode=8000):
        plan, _, _, _ = start(Period("season"))
        await eventually(lambda: plan.current is not None and plan.current.epochs)


async def test_epochs_of_a_second_follow_each_other_on_the_clock_of_the_database(start, monkeypatch):
    """As in the service, with a boundary each second: each result is sealed after its grace, here 2 s."""
    for module in (core_plan, sealing):
        monkeypatch.setattr(module, "GRACE", 2000)
    plan, _, _, clock = start(Period("tick", Every("1s", datetime(2026, 1, 1))))  # noqa: DTZ001  # is local
    tick = View("main", "tick")
    await eventually(lambda: plan.current is not None and plan.current.epochs)
    first = plan.current.open(tick, clock.now())
    await eventually(lambda: plan.current.unsealed(tick) > 4, 60)
    sealed = [epoch for epoch in plan.current.epochs[tick] if epoch.state is EpochState.SEALED]
    assert first.number <= 3
    assert all(epoch.sealed_at - epoch.end >= 2000 for epoch in sealed)
    assert [epoch.number for epoch in sealed] == list(range(sealed[0].number, sealed[-1].number + 1))
    assert plan.current.open(tick, clock.now()) is not None
