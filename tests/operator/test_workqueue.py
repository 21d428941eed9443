"""The queue: equal keys merge, a key runs once at a time, and failed keys are retried with backoff."""

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


async def test_queue_with_equal_keys_merges_them():
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


async def test_queue_with_key_added_during_run_runs_it_once_more():
    queue: WorkQueue[str] = WorkQueue()
    running_now, max_running, runs = 0, 0, 0
    go = asyncio.Event()

    async def work(key: str) -> float | None:
        nonlocal running_now, max_running, runs
        running_now, runs = running_now + 1, runs + 1
        max_running = max(max_running, running_now)
        await go.wait()
        running_now -= 1
        return None

    queue.add("a")
    async with running(queue, work):
        await eventually(lambda: running_now == 1)
        for _ in range(5):
            queue.add("a")
            await asyncio.sleep(0)
        go.set()
        await eventually(lambda: runs == 2 and len(queue) == 0)
    assert (max_running, runs) == (1, 2)


async def test_queue_with_different_keys_runs_them_concurrently():
    queue: WorkQueue[str] = WorkQueue()
    meet = asyncio.Barrier(WORKERS)

    async def work(key: str) -> float | None:
        await meet.wait()
        return None

    for key in "abc":
        queue.add(key)
    async with running(queue, work):
        await eventually(lambda: len(queue) == 0)


async def test_queue_with_failing_key_retries_with_backoff():
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
    assert all(gap >= minimum for gap, minimum in zip(gaps, (0.02, 0.04, 0.08, 0.16), strict=True))


async def test_queue_with_several_delays_uses_the_shortest():
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a", 60)
    queue.add("a")
    queue.add("a", 30)
    assert (len(queue), queue.depth) == (1, 1)


async def test_queue_with_minimum_delay_ignores_earlier_events():
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


async def test_queue_forgets_finished_keys():
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
