"""The database's clock, without the clock of this process."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.support.wait import eventually
from tornado_app.core.errors import DatabaseError
from tornado_app.mongo.periods.clock import DatabaseClock


async def test_clock_shows_the_time_of_the_primary(client, database):
    clock = DatabaseClock(client)
    with pytest.raises(DatabaseError):
        clock.now()
    await clock.measure()
    assert abs(clock.now() - time.time() * 1000) < 1000 + clock.error  # this test has the clock of the database
    before = clock.now()
    await eventually(lambda: clock.now() > before, 5)


async def test_clock_follows_the_time_since_its_measurement(client):
    now = 50.0
    clock = DatabaseClock(client, monotonic=lambda: now)
    await clock.measure()
    before = clock.now()
    assert clock.error == 1
    now += 7.5
    assert clock.now() == before + 7500


async def test_clock_error_is_half_of_the_round_trip(client):
    """The clock of this process steps by 3 s while the database answers."""
    ticks = iter([50.0, 53.0, 53.0])
    clock = DatabaseClock(client, monotonic=lambda: next(ticks))
    started = time.time() * 1000
    await clock.measure()
    assert clock.error == 1501
    assert abs(clock.now() - 1500 - started) < 10_000


async def test_clock_is_not_wrong_while_measurements_run(client):
    clock = DatabaseClock(client)
    await asyncio.gather(*(clock.measure() for _ in range(20)))
    assert abs(clock.now() - time.time() * 1000) < 1000 + clock.error
