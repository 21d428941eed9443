"""The event loop of a process that serves: of its clients who are ready, a few get their turn at a time.

asyncio hands on all that the kernel has in one turn of the loop. When thousands of clients come, ask or go at once, a
turn takes hundreds of milliseconds, for which timers, signals and whoever is next have to wait. The database's answers,
for which all those clients wait, are not to wait for the clients: what is not of the crowd comes in every turn.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from collections.abc import Coroutine
from typing import Any

PER_TURN = 64
"""Descriptors of the crowd whose readers and writers are called in one turn."""

crowd: set[int] = set()
"""The descriptors of listening sockets and of clients' connections, as long as they are open."""

Ready = tuple[selectors.SelectorKey, int]


class Turns(selectors.DefaultSelector):
    """The platform's selector, which tells of `PER_TURN` of a crowd at a time, and of all before any of it again.

    Of who is not of the crowd it tells each time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[Ready] = deque()
        self._others: set[int] = set()
        self._among_others = selectors.PollSelector()  # asks the kernel nothing until it is asked itself

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As in the base class."""
        key = super().register(fileobj, events, data)
        if key.fd not in crowd:
            self._others.add(key.fd)
            self._among_others.register(key.fd, events, data)
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As in the base class."""
        key = super().modify(fileobj, events, data)
        if key.fd in self._others:
            self._among_others.modify(key.fd, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """As in the base class."""
        key = super().unregister(fileobj)
        if key.fd in self._others:
            self._others.remove(key.fd)
            self._among_others.unregister(key.fd)
        return key

    def select(self, timeout: float | None = None) -> list[Ready]:
        """Who is ready. One whose descriptor was closed or changed meanwhile is left to the next look."""
        if self._waiting:
            others = self._among_others.select(0)
        else:
            found: list[Ready] = super().select(timeout)
            if len(found) <= PER_TURN:
                return found
            others = [each for each in found if each[0].fd in self._others]
            self._waiting.extend(each for each in found if each[0].fd not in self._others)
        turn = [self._waiting.popleft() for _ in range(min(PER_TURN, len(self._waiting)))]
        registered = self.get_map()
        return others + [(key, events) for key, events in turn if registered.get(key.fd) is key]


def run(main: Coroutine[Any, Any, int]) -> int:
    """`asyncio.run` on such a loop."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(Turns())) as runner:
        return runner.run(main)
