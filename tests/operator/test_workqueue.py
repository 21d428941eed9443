"""The queue: equal keys merge, one at a time, failures come back later and later, and never too soon."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

from leaderboard_operator.workqueue import WorkQueue
from tests.support.wait import eventually

WORKERS = 3


@asynccontextmanager
async def running(queue: WorkQueue[str], work: Callable[[str], Awaitable[float | None]]):
    task = asyncio.create_task(queue.run(work, WORKERS))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_equal_keys_merge():
    queue: WorkQueue[str] = WorkQueue()
    done = []

    async def work(key: str) -> float | None:
        done.append(key)
        return None

    for key in ("a", "b", "a", "a", "b"):
        queue.add(key)
    assert queue.depth == 2
    async with running(queue, work):
        await eventually(lambda: len(queue) == 0 and len(done) == 2)
    assert sorted(done) == ["a", "b"]


async def test_a_key_is_worked_on_once_at_a_time_and_again_for_what_came_meanwhile():
    queue: WorkQueue[str] = WorkQueue()
    busy, most, runs = 0, 0, 0
    go = asyncio.Event()

    async def work(key: str) -> float | None:
        nonlocal busy, most, runs
        busy, runs = busy + 1, runs + 1
        most = max(most, busy)
        await go.wait()
        busy -= 1
        return None

    queue.add("a")
    async with running(queue, work):
        await eventually(lambda: busy == 1)
        for _ in range(5):
            queue.add("a")
            await asyncio.sleep(0)
        go.set()
        await eventually(lambda: runs == 2 and len(queue) == 0)
    assert (most, runs) == (1, 2)


async def test_different_keys_run_side_by_side():
    queue: WorkQueue[str] = WorkQueue()
    meet = asyncio.Barrier(WORKERS)

    async def work(key: str) -> float | None:
        await meet.wait()
        return None

    for key in "abc":
        queue.add(key)
    async with running(queue, work):
        await eventually(lambda: len(queue) == 0)


async def test_a_failed_key_comes_back_later_each_time_until_it_succeeds():
    queue: WorkQueue[str] = WorkQueue(pause=0.0, first_retry=0.02)
    times = []

    async def work(key: str) -> float | None:
        times.append(asyncio.get_running_loop().time())
        return None if len(times) == 5 else 0.0

    queue.add("a")
    async with running(queue, work):
        await eventually(lambda: len(times) == 5)
        assert len(queue) == 0
    gaps = [after - before for before, after in pairwise(times)]
    assert all(gap >= least for gap, least in zip(gaps, (0.02, 0.04, 0.08, 0.16), strict=True))


async def test_the_earliest_wish_counts():
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a", 60)
    queue.add("a")
    queue.add("a", 30)
    assert (len(queue), queue.depth) == (1, 1)


async def test_retry_is_never_earlier_than_work_asks_for_also_with_an_event():
    queue: WorkQueue[str] = WorkQueue(first_retry=0.01)
    times = []

    async def work(key: str) -> float | None:
        times.append(asyncio.get_running_loop().time())
        if len(times) > 1:
            return None
        queue.add(key)
        return 0.5

    queue.add("a")
    async with running(queue, work):
        await eventually(lambda: len(times) == 1 and not queue._active)
        queue.add("a")
        await eventually(lambda: len(times) == 2)
    assert times[1] - times[0] >= 0.5


async def test_keys_that_never_come_again_leave_nothing_behind():
    queue: WorkQueue[str] = WorkQueue(pause=0.01, first_retry=0.01)
    fails = {f"key-{n}" for n in range(100)}

    async def work(key: str) -> float | None:
        if key in fails:
            fails.remove(key)
            return 0.0
        return None

    for n in range(200):
        queue.add(f"key-{n}")
    async with running(queue, work):
        await eventually(lambda: not fails and len(queue) == 0 and not queue._active)
        await asyncio.sleep(0.02)
        queue.add("last")
        await eventually(lambda: queue._not_before.keys() == {"last"})
    assert (queue._failures, queue._due, queue._active) == ({}, {}, set())
