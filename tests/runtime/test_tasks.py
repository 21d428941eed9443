"""Tasks that swallow a cancellation end, and a ticker keeps its average rate."""

import asyncio
import gc
from itertools import pairwise

import pytest

from tornado_app.runtime.tasks import EARLY, Ticker, cancel_and_wait, jittered, run_until_first_exits

INTERVAL = 0.1


CANCEL_INTERVAL = 0.01


async def _deaf(times):
    """Swallows `times` cancellations."""
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if times == 0:
                raise
            times -= 1


async def test_cancel_and_wait_ends_a_task_that_swallows_cancellations():
    deaf, done = asyncio.ensure_future(_deaf(3)), asyncio.get_running_loop().create_future()
    done.set_result(None)
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await cancel_and_wait(deaf, done, interval=CANCEL_INTERVAL)
    assert deaf.cancelled()
    assert not done.cancelled()


async def test_run_until_first_exits_cancelled_ends_all_tasks():
    both = asyncio.ensure_future(run_until_first_exits(_deaf(3), _deaf(0), cancel_interval=CANCEL_INTERVAL))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await cancel_and_wait(both, interval=CANCEL_INTERVAL)
    assert both.cancelled()


async def test_run_until_first_exits_raises_the_error_of_one_and_ends_the_other():
    async def fail():
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        async with asyncio.timeout(5):
            await run_until_first_exits(_deaf(2), fail(), cancel_interval=CANCEL_INTERVAL)


async def test_error_during_a_cancellation_is_not_logged_by_asyncio(caplog):
    async def fail():
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            raise OSError("as a driver may") from None

    both = asyncio.ensure_future(run_until_first_exits(fail(), _deaf(0), cancel_interval=CANCEL_INTERVAL))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await cancel_and_wait(both, interval=CANCEL_INTERVAL)
    assert both.cancelled()
    del both
    gc.collect()
    assert caplog.messages == []


def test_jittered_stays_within_its_bounds_and_varies():
    found = {jittered(10, 0.5, 1.5) for _ in range(100)}
    assert all(5 <= each <= 15 for each in found)
    assert len(found) > 1


class Clock:
    """The loop's time, which passes only in sleeps; each sleep takes `late` seconds longer."""

    def __init__(self, monkeypatch):
        self.now, self.late = 1000.0, 0.0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)
        monkeypatch.setattr(asyncio, "sleep", self.sleep)

    async def sleep(self, seconds):
        self.now += max(0.0, seconds) + self.late


@pytest.fixture
async def clock(monkeypatch):
    return Clock(monkeypatch)


async def ticks(ticker, clock, count, work=0.0):
    """The start times of `count` ticks, with `work` seconds after each."""
    found = []
    for _ in range(count):
        await ticker.tick()
        found.append(clock.now)
        clock.now += work
    return found


def gaps(moments):
    return [after - before for before, after in pairwise(moments)]


async def test_ticker_first_tick_is_immediate(clock):
    assert await ticks(Ticker(INTERVAL), clock, 1) == [1000.0]


@pytest.mark.parametrize("late", [0.0, 0.01])
@pytest.mark.parametrize("work", [0.0, 0.05])
async def test_ticker_keeps_its_average_rate_despite_work_and_late_timers(clock, late, work):
    clock.late = late
    found = await ticks(Ticker(INTERVAL), clock, 101, work)
    assert found[-1] - found[0] == pytest.approx(100 * INTERVAL, rel=0.01)


async def test_ticker_does_not_catch_up_after_a_long_delay(clock):
    ticker = Ticker(INTERVAL)
    await ticks(ticker, clock, 1, work=10 * INTERVAL)
    assert gaps(await ticks(ticker, clock, 4)) == pytest.approx([INTERVAL * (1 - EARLY), INTERVAL, INTERVAL])


async def test_ticker_delay_postpones_the_next_tick(clock):
    ticker = Ticker(INTERVAL)
    await ticks(ticker, clock, 1)
    ticker.delay(5.0)
    began = clock.now
    assert await ticks(ticker, clock, 1) == [pytest.approx(began + 5.0)]
