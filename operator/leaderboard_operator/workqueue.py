"""A queue of keys: equal ones merge, one is worked on once at a time, a failed one comes back later and later."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

PAUSE = 0.2
"""Seconds between two runs of one key, so that a burst of events is one run."""

FIRST_RETRY, LAST_RETRY = 0.5, 120.0
"""Seconds until a failed key is tried again: doubled each time, up to the second."""


class WorkQueue(Generic[Key]):
    """Keys that wait, each with the time from which it may be worked on."""

    def __init__(self) -> None:
        self._due: dict[Key, float] = {}
        self._active: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._not_before: dict[Key, float] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Keys that wait, those for later included."""
        return len(self._due)

    @property
    def depth(self) -> int:
        """Keys that could be worked on now."""
        now = asyncio.get_running_loop().time()
        return sum(due <= now for due in self._due.values())

    def add(self, key: Key, delay: float = 0.0) -> None:
        """Put `key` in, to be worked on in `delay` seconds; the earliest of several wishes counts."""
        due = asyncio.get_running_loop().time() + delay
        due = max(due, self._not_before.get(key, 0.0))
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            self._changed.set()

    async def run(self, work: Callable[[Key], Awaitable[float | None]], workers: int) -> None:
        """Work until cancelled. `work` returns None where it succeeded, else the seconds that a retry has to wait for
        at least; it does not raise."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._worker(work))

    async def _worker(self, work: Callable[[Key], Awaitable[float | None]]) -> None:
        while True:
            key = await self._next()
            self._active.add(key)
            try:
                least = await work(key)
            finally:
                self._active.discard(key)
                self._pause(key, PAUSE)
                self._changed.set()
            if least is None:
                self._failures.pop(key, None)
                self._hold(key)
            else:
                failures = self._failures[key] = self._failures.get(key, 0) + 1
                wait = max(min(FIRST_RETRY * 2 ** min(failures - 1, 20), LAST_RETRY), least)
                self._pause(key, max(PAUSE, least))
                self._hold(key)
                self.add(key, wait * random.uniform(1.0, 1.25))  # noqa: S311 - spreads those of one outage

    def _pause(self, key: Key, seconds: float) -> None:
        """Leave `key` alone for so long. Pauses that are over are forgotten: most keys never come again."""
        now = asyncio.get_running_loop().time()
        self._not_before = {each: until for each, until in self._not_before.items() if until > now}
        self._not_before[key] = now + seconds

    def _hold(self, key: Key) -> None:
        """A wish that came meanwhile keeps to the pause as well."""
        if key in self._due:
            self._due[key] = max(self._due[key], self._not_before[key])

    async def _next(self) -> Key:
        """The key that has been due for longest, once one is."""
        loop = asyncio.get_running_loop()
        while True:
            waiting = [(due, key) for key, due in self._due.items() if key not in self._active]
            due, key = min(waiting, key=lambda each: each[0], default=(float("inf"), None))
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
