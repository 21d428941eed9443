"""Who waits for a version: woken in order, bounded in number and time."""

import asyncio
import time

from tests.support.wait import eventually
from tornado_app.live.milestones import Milestones


async def test_waiters_wake_when_their_version_has_passed():
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


async def test_wait_ends_by_itself_and_leaves_no_entry_in_the_way():
    found = Milestones(most=2)
    await asyncio.gather(found.wait(9, 0.01), found.wait(8, 0.01))
    began = time.monotonic()
    await found.wait(7, 0.05)
    assert time.monotonic() - began >= 0.04  # it took the place of those that had ended
    assert len(found) <= 2


async def test_one_too_many_does_not_wait():
    found = Milestones(most=1)
    waiting = asyncio.ensure_future(found.wait(1, 5))
    await eventually(lambda: len(found) == 1)
    async with asyncio.timeout(1):
        await found.wait(1, 5)
    found.pass_while(lambda version: True)
    await waiting
