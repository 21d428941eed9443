"""Turns of work that runs at most once in an interval, on average."""

from __future__ import annotations

import asyncio

EARLY = 0.25
"""Part of the interval by which a turn may come early after a late one."""


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
