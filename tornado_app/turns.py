"""The event loop of a process that serves: of those who are ready, a few get their turn at a time.

asyncio hands on all that the kernel has in one turn of the loop. When thousands of clients come, ask or go at once, a
turn takes hundreds of milliseconds, for which timers, signals and whoever is next have to wait.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from collections.abc import Coroutine
from typing import Any

PER_TURN = 64
"""Descriptors whose readers and writers are called in one turn."""

Ready = tuple[selectors.SelectorKey, int]


class Turns(selectors.DefaultSelector):
    """The platform's selector, which tells of `PER_TURN` at a time, and of all before it asks the kernel again."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[Ready] = deque()

    def select(self, timeout: float | None = None) -> list[Ready]:
        """Who is ready. One whose descriptor was closed or changed meanwhile is left to the next look."""
        if not self._waiting:
            found: list[Ready] = super().select(timeout)
            if len(found) <= PER_TURN:
                return found
            self._waiting.extend(found)
        turn = [self._waiting.popleft() for _ in range(min(PER_TURN, len(self._waiting)))]
        registered = self.get_map()
        return [(key, events) for key, events in turn if registered.get(key.fd) is key]


def run(main: Coroutine[Any, Any, int]) -> int:
    """`asyncio.run` on such a loop."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(Turns())) as runner:
        return runner.run(main)
