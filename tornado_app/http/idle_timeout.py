"""Closes idle connections, with one timer for all of them.

Tornado would create a timer for each request, which costs a twentieth of an update.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from itertools import takewhile

from tornado.iostream import IOStream


class IdleTimeouts:
    """The connections that wait for a request, the longest waiting first; `timeout` is in seconds."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._since: OrderedDict[IOStream, float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._since)

    def track(self, stream: IOStream) -> None:
        """Start the timeout of a connection, again if it has one."""
        loop = asyncio.get_running_loop()
        self._since[stream] = loop.time()
        self._since.move_to_end(stream)
        if self._timer is None:
            self._timer = loop.call_later(self._timeout, self._close_expired)

    def since(self, moment: float) -> list[IOStream]:
        """The connections that have waited since this time of the event loop, or longer."""
        return [stream for stream, _ in takewhile(lambda entry: entry[1] <= moment, self._since.items())]

    def untrack(self, stream: IOStream) -> None:
        """Stop the timeout of a connection, if it has one."""
        self._since.pop(stream, None)

    def close(self) -> None:
        """Stop all timeouts."""
        self._since.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _close_expired(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        while self._since:
            stream, since = next(iter(self._since.items()))
            left = since + self._timeout - loop.time()
            if left > 0:
                self._timer = loop.call_later(left, self._close_expired)
                return
            self.untrack(stream)
            stream.close()
