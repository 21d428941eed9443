"""Ticks come one interval apart on average, despite late timers."""

import asyncio
from itertools import pairwise

import pytest

from tornado_app.live import ticker as module
from tornado_app.live.ticker import EARLY, Ticker

INTERVAL = 0.1


class Clock:
    """The loop's time, which passes only in sleeps; each sleep takes `late` seconds longer."""

    def __init__(self, monkeypatch):
        self.now, self.late = 1000.0, 0.0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)
        monkeypatch.setattr(module.asyncio, "sleep", self.sleep)

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
