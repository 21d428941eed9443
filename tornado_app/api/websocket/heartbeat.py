"""Pings all WebSockets with one timer; a task and a timer for each would take more memory."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Protocol

CHUNK = 100
"""Clients that are pinged before the event loop serves others: a few milliseconds of work."""


class HeartbeatClient(Protocol):
    """A client that is pinged. `pong`: whether it has answered the last ping."""

    pong: bool

    def send_ping(self) -> None:
        """Send a ping."""

    def timed_out(self) -> None:
        """The client has not answered in time; it gets no more pings."""


class Heartbeat:
    """Pings each client every `interval` seconds; a client has as long to answer. 0 seconds: no pings.

    As the interval is the same for all, pings are due in the order in which clients joined or were last pinged.
    """

    def __init__(self, interval: float, *, chunk: int = CHUNK) -> None:
        self._interval = interval
        self._chunk = chunk
        self._due: OrderedDict[HeartbeatClient, float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._due)

    def join(self, client: HeartbeatClient) -> None:
        """Start pinging a client."""
        if self._interval <= 0:
            return
        client.pong = True
        self._due[client] = asyncio.get_running_loop().time() + self._interval
        if self._timer is None:
            self._wait()

    def leave(self, client: HeartbeatClient) -> None:
        """Stop pinging a client, if it was pinged."""
        self._due.pop(client, None)
        if not self._due and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        first = next(iter(self._due.values()), None)
        self._timer = None if first is None else asyncio.get_running_loop().call_at(first, self._work)

    def _work(self) -> None:
        now = asyncio.get_running_loop().time()
        for _ in range(self._chunk):
            client, due = next(iter(self._due.items()), (None, now))
            if client is None or due > now:
                break
            if client.pong:
                client.pong = False
                self._due[client] = now + self._interval
                self._due.move_to_end(client)
                client.send_ping()
            else:
                del self._due[client]
                client.timed_out()
        self._wait()
