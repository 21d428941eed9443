"""A queue of keys. Equal keys merge, a key is never processed twice at once, and failed keys are retried."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

PAUSE_SECONDS = 0.2
"""Minimum time between two runs of a key, so that a burst of events is one run."""

FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.5, 120.0
"""Backoff of a failed key. It doubles with each failure."""


class WorkQueue(Generic[Key]):
    """Waiting keys, and the time at which each is due."""

    def __init__(self, pause: float = PAUSE_SECONDS, first_retry: float = FIRST_RETRY_SECONDS) -> None:
        self._pause_seconds = pause
        self._first_retry = first_retry
        self._due: dict[Key, float] = {}
        self._active: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._not_before: dict[Key, float] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Number of waiting keys, including those that are not due yet."""
        return len(self._due)

    @property
    def depth(self) -> int:
        """Number of keys that are due."""
        now = asyncio.get_running_loop().time()
        return sum(due <= now for due in self._due.values())

    def add(self, key: Key, delay: float = 0.0) -> None:
        """Add `key`, due in `delay` seconds. If it is waiting already, the earlier time counts."""
        due = asyncio.get_running_loop().time() + delay
        due = max(due, self._not_before.get(key, 0.0))
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            self._changed.set()

    async def run(self, work: Callable[[Key], Awaitable[float | None]], workers: int) -> None:
        """Process keys until cancelled.

        `work` must not raise. It returns None on success, otherwise the minimum number of seconds until a retry.
        """
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._worker(work))

    async def _worker(self, work: Callable[[Key], Awaitable[float | None]]) -> None:
        while True:
            key = await self._next()
            self._active.add(key)
            try:
                min_delay = await work(key)
            finally:
                self._active.discard(key)
                self._pause(key, self._pause_seconds)
                self._changed.set()
            if min_delay is None:
                self._failures.pop(key, None)
                self._delay_waiting(key)
            else:
                failures = self._failures[key] = self._failures.get(key, 0) + 1
                backoff = min(self._first_retry * 2 ** min(failures - 1, 20), MAX_RETRY_SECONDS)
                self._pause(key, max(self._pause_seconds, min_delay))
                self._delay_waiting(key)
                jitter = random.uniform(1.0, 1.25)  # noqa: S311 - spreads the retries of one outage
                self.add(key, max(backoff, min_delay) * jitter)

    def _pause(self, key: Key, seconds: float) -> None:
        """Do not run `key` for this time. Expired pauses are removed, because most keys never return."""
        now = asyncio.get_running_loop().time()
        self._not_before = {paused: until for paused, until in self._not_before.items() if until > now}
        self._not_before[key] = now + seconds

    def _delay_waiting(self, key: Key) -> None:
        """Apply the pause to a key that was added during its run."""
        if key in self._due:
            self._due[key] = max(self._due[key], self._not_before[key])

    async def _next(self) -> Key:
        """Wait for a due key, and return the one that has been due for the longest time."""
        loop = asyncio.get_running_loop()
        while True:
            waiting = [(due, key) for key, due in self._due.items() if key not in self._active]
            due, key = min(waiting, key=lambda entry: entry[0], default=(float("inf"), None))
            if key is not None and due <= loop.time():
                del self._due[key]
                return key
            self._changed.clear()
            wait = None if key is None else due - loop.time()
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue
