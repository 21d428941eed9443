"""Requests that wait for a version of the board, the lowest first, so that most events cost one comparison."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from itertools import count

MOST = 1000
"""Maximum requests that wait at once in this process; further ones are answered without waiting."""


class Milestones:
    """Futures by the version that they wait for."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._heap: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._heap)

    async def wait(self, version: int, seconds: float) -> None:
        """Wait until the version has passed, for at most `seconds`; return at once if too many requests wait."""
        if len(self._heap) >= self._most:
            self._heap = [waiter for waiter in self._heap if not waiter[2].done()]
            heapq.heapify(self._heap)
            if len(self._heap) >= self._most:
                return
        passed = asyncio.get_running_loop().create_future()
        heapq.heappush(self._heap, (version, next(self._numbers), passed))
        await asyncio.wait([passed], timeout=seconds)
        passed.cancel()  # a request that no longer waits must not occupy a slot

    def pass_while(self, passed: Callable[[int], bool]) -> None:
        """Wake all requests whose version is `passed`, which is true for every lower version too."""
        while self._heap and (self._heap[0][2].done() or passed(self._heap[0][0])):
            _, _, waiter = heapq.heappop(self._heap)
            if not waiter.done():
                waiter.set_result(None)
