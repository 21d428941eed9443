"""Who waits for a version: woken in order, bounded in number and time."""

import asyncio
import time

from tests.support.wait import eventually
from tornado_app.live.milestones import Milestones


async def test_milestones_wake_waiters_in_the_order_of_versions():
    found, woken = Milestones(), []

    async def wait(version):
        await found.wait(version, 5)
        woken.append(version)

    tasks = [asyncio.ensure_future(wait(version)) for version in (3, 1, 2)]
    await eventually(lambda: len(found) == 3)
    found.pass_while(lambda version: version <= 2)
    await eventually(lambda: woken == [1, 2])
    found.pass_while(lambda version: version <= 3)
    await asyncio.gather(*tasks)
    assert (woken, len(found)) == ([1, 2, 3], 0)


async def test_milestones_wait_times_out_and_frees_its_place():
    found = Milestones(most=2)
    await asyncio.gather(found.wait(9, 0.01), found.wait(8, 0.01))
    began = time.monotonic()
    await found.wait(7, 0.05)
    assert time.monotonic() - began >= 0.04  # it took the place of those that had ended
    assert len(found) <= 2


async def test_milestones_wait_beyond_the_maximum_returns_at_once():
    found = Milestones(most=1)
    waiting = asyncio.ensure_future(found.wait(1, 5))
    await eventually(lambda: len(found) == 1)
    async with asyncio.timeout(1):
        await found.wait(1, 5)
    found.pass_while(lambda version: True)
    await waiting
