"""The metrics of periods, as one process computes them from the plan on a real mongod."""

from __future__ import annotations

import asyncio

import pytest

from tornado_app.core.boards import Board, View
from tornado_app.core.interfaces import Change
from tornado_app.core.periods import Cron, Period
from tornado_app.core.plan import GRACE
from tornado_app.core.versions import version_at
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.observability.metrics import Metrics
from tornado_app.runtime.tasks import cancel_and_wait
from tornado_app.service.periods import Periods

BOARD = Board("kart", periods=(Period("yearly", Cron("0 0 1 1 *")), Period("season")))
YEARLY, SEASON = (View("kart", period.name) for period in BOARD.periods)


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def boards():
    return [BOARD]


@pytest.fixture
async def periods(mongo_database, metrics, boards):
    """With the plan of the board."""
    uri, name = mongo_database
    client = connect(uri)
    periods = Periods(client, name, lambda: boards, list, metrics)
    running = asyncio.ensure_future(periods.run())
    await periods.wait_planned(BOARD)
    yield periods
    await cancel_and_wait(running)
    await periods.close()
    await maybe_await(client.close())


@pytest.fixture
def metric(metrics):
    """A function that returns the value of a period's metric; None: there is no series."""
    return lambda name, view: metrics.registry.get_sample_value(
        f"leaderboard_period_{name}", {"board": view.board, "period": view.period}
    )


async def test_metrics_have_the_time_left_and_the_time_without_a_result(periods, boards, metric):
    periods.refresh_metrics()
    left = periods.epochs(YEARLY)[0].end - periods.now()
    assert metric("remaining_seconds", YEARLY) == pytest.approx(left / 1000, abs=5)
    assert metric("remaining_seconds", SEASON) is None
    for view in (YEARLY, SEASON):
        assert (metric("unsealed_seconds", view), metric("late_updates_total", view)) == (0, 0)
    boards.clear()
    periods.refresh_metrics()
    assert metric("remaining_seconds", YEARLY) is None
    assert metric("unsealed_seconds", YEARLY) is None


async def test_late_update_is_counted_and_logged(periods, metric, caplog):
    end = periods.epochs(YEARLY)[0].end
    for after in (GRACE, GRACE + 1000):
        made_at = version_at((end + after) // 1000, 1)
        periods.on_epoch_score(YEARLY, Change("alice", None, 5, made_at, 0, epoch=1))
        periods.on_epoch_score(YEARLY, Change("alice", None, 5, made_at, 0, epoch=2))
    assert metric("late_updates_total", YEARLY) == 1
    (line,) = [record for record in caplog.records if getattr(record, "event", "") == "late_update"]
    assert (line.board, line.period, line.epoch, line.player) == ("kart", "yearly", 1, "alice")
