"""Helpers for tasks: cancellation, deadlines, groups, and random delays, and a ticker."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("leaderboard.app")

CANCEL_INTERVAL = 0.5
"""Seconds after which a task that is still running is cancelled again."""

FINAL_CANCEL_INTERVAL = 0.2
"""The same after the deadline."""

MIN_CLOSE_SECONDS = 2.0
"""Minimum seconds for closing, even if the deadline is sooner."""

EARLY = 0.25
"""Part of the interval by which a turn may come early after a late one."""


def jittered(seconds: float, low: float = 0.5, high: float = 1.0) -> float:
    """`seconds` times a random factor from `low` to `high`, so that concurrent loops do not run in step."""
    return seconds * random.uniform(low, high)  # noqa: S311  # not a secret


async def cancel_and_wait(*tasks: asyncio.Future[Any], interval: float = CANCEL_INTERVAL) -> None:
    """Cancel the tasks, every `interval` seconds, until they have ended.

    A driver may lose a cancellation, or turn it into an error of its own; so does `asyncio.wait_for` of Python 3.11 if
    its future completes at the same moment (CPython #86296). An `asyncio.TaskGroup` cancels its tasks only once. If
    this function is cancelled, it finishes first.
    """
    cancelled = False
    while left := {task for task in tasks if not task.done()}:
        for task in left:
            task.cancel()
        try:
            await asyncio.wait(left, timeout=interval)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError


async def run_until_first_exits(
    *coroutines: Coroutine[Any, Any, None], cancel_interval: float = CANCEL_INTERVAL
) -> None:
    """Run the coroutines concurrently until one ends or fails; then cancel the others. Raises its error."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    for task in tasks:
        task.add_done_callback(_retrieve)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_and_wait(*tasks, interval=cancel_interval)
    errors = [error for task in tasks if not task.cancelled() and (error := task.exception()) is not None]
    if errors:
        raise errors[0]


def _retrieve(task: asyncio.Future[None]) -> None:
    """Retrieve the exception, so that asyncio does not log it if the caller is cancelled."""
    if not task.cancelled():
        task.exception()


async def with_deadline(closing: Coroutine[Any, Any, None], deadline: float) -> None:
    """Run `closing` until `deadline` (loop time); then cancel each of its steps that still waits."""
    task = asyncio.ensure_future(closing)
    try:
        left = deadline - asyncio.get_running_loop().time()
        await asyncio.wait([task], timeout=max(left, MIN_CLOSE_SECONDS))
        if not task.done():
            log.warning("shutdown deadline exceeded, cancelling the remaining tasks")
    finally:
        await cancel_and_wait(task, interval=FINAL_CANCEL_INTERVAL)
    if not task.cancelled():
        task.result()


class Ticker:
    """Turns that are due every `interval` seconds.

    A late turn does not delay the next one. Otherwise each turn at the highest rate would be later than the one before
    by the delay of timers, up to a whole interval.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._due = float("-inf")

    async def tick(self) -> None:
        """Wait for the next turn."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._due - loop.time())
        self._due = max(self._due, loop.time() - self._interval * EARLY) + self._interval

    def delay(self, seconds: float) -> None:
        """Have no turn for this time."""
        self._due = asyncio.get_running_loop().time() + seconds
