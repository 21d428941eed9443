"""The event loop of a serving process, whose selector handles a limited number of clients per iteration.

asyncio handles all ready descriptors in one iteration of the loop. If thousands of clients connect, send or disconnect
at once, an iteration takes hundreds of milliseconds, which delays timers, signals and responses of the database. So
only clients are limited; every other descriptor is reported in each iteration.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from collections.abc import Coroutine
from typing import Any

MAX_CLIENTS_PER_ITERATION = 64
"""Maximum descriptors of clients that are reported in one iteration."""

client_fds: set[int] = set()
"""The descriptors of open listening sockets and client connections."""

Ready = tuple[selectors.SelectorKey, int]


class FairSelector(selectors.DefaultSelector):
    """The platform's selector, which reports at most `MAX_CLIENTS_PER_ITERATION` ready clients at a time.

    All ready clients are reported before any is reported again. Other descriptors are reported each time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[Ready] = deque()
        self._priority_fds: set[int] = set()
        self._priority_selector = selectors.PollSelector()  # makes no system call until `select`

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As in the base class."""
        key = super().register(fileobj, events, data)
        if key.fd not in client_fds:
            self._priority_fds.add(key.fd)
            self._priority_selector.register(key.fd, events, data)
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As in the base class."""
        key = super().modify(fileobj, events, data)
        if key.fd in self._priority_fds:
            self._priority_selector.modify(key.fd, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """As in the base class."""
        key = super().unregister(fileobj)
        if key.fd in self._priority_fds:
            self._priority_fds.remove(key.fd)
            self._priority_selector.unregister(key.fd)
        return key

    def select(self, timeout: float | None = None) -> list[Ready]:
        """The ready descriptors, without those that were closed or changed since the kernel reported them."""
        if self._waiting:
            others = self._priority_selector.select(0)
        else:
            found: list[Ready] = super().select(timeout)
            if len(found) <= MAX_CLIENTS_PER_ITERATION:
                return found
            others = [each for each in found if each[0].fd in self._priority_fds]
            self._waiting.extend(each for each in found if each[0].fd not in self._priority_fds)
        turn = [self._waiting.popleft() for _ in range(min(MAX_CLIENTS_PER_ITERATION, len(self._waiting)))]
        registered = self.get_map()
        return others + [(key, events) for key, events in turn if registered.get(key.fd) is key]


def run(main: Coroutine[Any, Any, int]) -> int:
    """`asyncio.run` with a FairSelector."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(FairSelector())) as runner:
        return runner.run(main)
