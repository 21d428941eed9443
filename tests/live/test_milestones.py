"""Waiters for a version: woken in order, bounded in number and time."""

import asyncio
import time

from tests.support.wait import eventually
from tornado_app.live.milestones import Milestones


async def test_milestones_wake_waiters_in_the_order_of_versions():
    milestones, woken = Milestones(), []

    async def wait(version):
        await milestones.wait(version, 5)
        woken.append(version)

    tasks = [asyncio.ensure_future(wait(version)) for version in (3, 1, 2)]
    await eventually(lambda: len(milestones) == 3)
    milestones.pass_while(lambda version: version <= 2)
    await eventually(lambda: woken == [1, 2])
    milestones.pass_while(lambda version: version <= 3)
    await asyncio.gather(*tasks)
    assert (woken, len(milestones)) == ([1, 2, 3], 0)


async def test_milestones_wait_times_out_and_frees_its_place():
    milestones = Milestones(most=2)
    await asyncio.gather(milestones.wait(9, 0.01), milestones.wait(8, 0.01))
    began = time.monotonic()
    await milestones.wait(7, 0.05)
    assert time.monotonic() - began >= 0.04  # it uses a place that timed-out waiters have left
    assert len(milestones) <= 2


async def test_milestones_wait_beyond_the_maximum_returns_at_once():
    milestones = Milestones(most=1)
    waiting = asyncio.ensure_future(milestones.wait(1, 5))
    await eventually(lambda: len(milestones) == 1)
    async with asyncio.timeout(1):
        await milestones.wait(1, 5)
    milestones.pass_while(lambda version: True)
    await waiting
