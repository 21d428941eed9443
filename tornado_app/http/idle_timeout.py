"""Closes connections that nothing comes in on: one timer for all of them.

Tornado has a timer for each connection and request, at a twentieth of an update's cost.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from itertools import takewhile

from tornado.iostream import IOStream


class IdleTimeouts:
    """The connections on which a request is waited for, the one that has waited the longest first. `most`: seconds."""

    def __init__(self, most: float) -> None:
        self._most = most
        self._since: OrderedDict[IOStream, float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._since)

    def track(self, stream: IOStream) -> None:
        """From now on its next request is waited for."""
        loop = asyncio.get_running_loop()
        self._since[stream] = loop.time()
        self._since.move_to_end(stream)
        if self._timer is None:
            self._timer = loop.call_later(self._most, self._look)

    def since(self, moment: float) -> list[IOStream]:
        """The connections that have waited since this loop time or longer."""
        return [stream for stream, _ in takewhile(lambda each: each[1] <= moment, self._since.items())]

    def untrack(self, stream: IOStream) -> None:
        """A request has come, or the connection is closed."""
        self._since.pop(stream, None)

    def close(self) -> None:
        """Wait for nobody any more."""
        self._since.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _look(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        while self._since:
            stream, since = next(iter(self._since.items()))
            left = since + self._most - loop.time()
            if left > 0:
                self._timer = loop.call_later(left, self._look)
                return
            self.untrack(stream)
            stream.close()
