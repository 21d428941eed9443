"""The pace of what is done at most once in an interval, on average."""

from __future__ import annotations

import asyncio

EARLY = 0.25
"""Part of the interval by which a turn may come early after one that was late."""


class Ticker:
    """Turns, `interval` seconds apart.

    One that comes late does not put off the next. Else what is wanted as often as it may be done would wait longer each
    time, by as much as timers are late, until it waits for a whole interval.
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
        """No turn before so much time has passed."""
        self._due = asyncio.get_running_loop().time() + seconds
