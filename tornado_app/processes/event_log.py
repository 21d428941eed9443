"""The last events of the change stream in the supervisor's memory, for workers that read at different positions.

It is to the workers what the oplog is to change streams: each reads on from its own position, and one that is further
behind than the log reaches back has lost the history.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncGenerator
from typing import NamedTuple

import msgspec

from tornado_app.mongo.change_stream.events import HistoryLost, PlayerEvent
from tornado_app.mongo.change_stream.source import BATCH, EventBatch
from tornado_app.processes.channel import framed

MAX_BYTES = 32 * 1024 * 1024
"""Maximum size: some 200,000 events."""

MAX_AGE = 150.0
"""Seconds for which messages are kept: more than a score snapshot may take."""

HISTORY_LOST = "history_lost"
"""The reason for a reader whose position the log does not contain."""


class _Message(NamedTuple):
    """`version`: all events up to it are in this message or those before. `read_at`: as in EventBatch."""

    version: int
    read_at: float
    frame: bytes


class _History:
    """Events without a gap. `end`: why it has ended; None if it has not."""

    __slots__ = ("end",)

    def __init__(self) -> None:
        self.end: str | None = None


class EventLog:
    """Keeps the messages of at most `max_age` seconds and `max_bytes` bytes. A sink of a Follower."""

    def __init__(self, *, max_bytes: int = MAX_BYTES, max_age: float = MAX_AGE) -> None:
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._messages: deque[_Message] = deque()
        self._size = 0
        self._first = 0  # the number of the first message, counted over all histories
        self._history = _History()
        self._floor: int | None = None  # events up to this version are not in the log
        self._missing = HISTORY_LOST  # why they are not
        self._version = 0
        self._pending: list[PlayerEvent] = []
        self._last: EventBatch | None = None
        self._fault: Exception | None = None
        self._changed = asyncio.Event()

    def begin(self, version: int, reason: str) -> None:
        """Events after this cluster time follow. Readers end with the reason."""
        self._pending.clear()
        self._fault = None
        self._history.end = reason
        self._history = _History()
        self._first += len(self._messages)
        self._messages.clear()
        self._size = 0
        self._floor = self._version = version
        self._missing = reason or HISTORY_LOST
        self._notify()

    def put(self, batch: EventBatch) -> None:
        """Add events, and the position after them.

        The driver returns the events of one answer one by one, without letting another task run. They are sent in one
        message, which is complete when the loop runs again. Raises the error of a message that cannot be encoded.
        """
        if self._fault is not None:
            raise self._fault
        if not batch.events and not self._pending:
            self._append(batch)
            return
        if not self._pending:
            asyncio.get_running_loop().call_soon(self._flush)
        self._pending += batch.events
        self._last = batch
        if len(self._pending) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._pending and self._last is not None:
            batch = msgspec.structs.replace(self._last, events=self._pending)
            self._pending = []
            try:
                self._append(batch)
            except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as fault:
                self._fault = fault  # `put` raises it; the loop would only log it

    def _append(self, batch: EventBatch) -> None:
        self._version = max(self._version, batch.version or 0)
        message = _Message(self._version, batch.read_at, framed(batch))
        self._messages.append(message)
        self._size += len(message.frame)
        oldest = batch.read_at - self._max_age
        while len(self._messages) > 1 and (self._size > self._max_bytes or self._messages[0].read_at < oldest):
            dropped = self._messages.popleft()
            self._first += 1
            self._size -= len(dropped.frame)
            self._floor, self._missing = dropped.version, HISTORY_LOST
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def read(self, after: int) -> AsyncGenerator[bytes]:
        """The messages with the events after a cluster time; the first one may contain earlier events too.

        Waits for the beginning of the history. Raises HistoryLost if events are missing.
        """
        while self._floor is None:
            await self._changed.wait()
        if after < self._floor:
            raise HistoryLost(self._missing)
        history = self._history
        number = self._first + bisect_right(self._messages, after, key=lambda message: message.version)
        while True:
            if history.end is not None:
                raise HistoryLost(history.end)
            if number < self._first:
                raise HistoryLost(HISTORY_LOST)
            if number < self._first + len(self._messages):
                yield self._messages[number - self._first].frame
                number += 1
            else:
                await self._changed.wait()
