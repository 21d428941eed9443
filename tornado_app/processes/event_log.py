"""The last events of the change stream in the supervisor's memory, for workers that read at different positions.

It is to the workers what the oplog is to change streams: each reads on from its own position, and one that is further
behind than the log reaches back has lost the history. The log reaches back as far as a worker needs, within bounds.
"""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from typing import NamedTuple

import msgspec

from tornado_app.mongo.change_stream.events import HistoryLost, PlayerEvent
from tornado_app.mongo.change_stream.source import BATCH, EventBatch
from tornado_app.processes.channel import framed

MAX_BYTES = 256 * 1024 * 1024
"""Maximum size: some two million events."""

MAX_AGE = 150.0
"""Maximum seconds for which messages are kept: more than a score snapshot may take."""

IN_FLIGHT = 1024 * 1024
"""Bytes that are kept behind a cursor: a worker that begins to read the board again may need what it has not read yet.
The buffers of its sockets have less."""

HISTORY_LOST = "history_lost"
"""The reason for a reader whose position the log does not contain."""


class _Message(NamedTuple):
    """`version`: all events up to it are in this message or those before. `read_at`: as in EventBatch. `end`: the bytes
    of all messages up to this one, of all histories."""

    version: int
    read_at: float
    frame: bytes
    end: int


class _History:
    """Events without a gap. `end`: why it has ended; None if it has not."""

    __slots__ = ("end",)

    def __init__(self) -> None:
        self.end: str | None = None


class Cursor:
    """Where a worker reads: `number` is that of the next message that it gets."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class EventLog:
    """Keeps the messages from `in_flight` bytes behind the last cursor on, of at most `max_age` seconds and `max_bytes`
    bytes. A sink of a Follower."""

    def __init__(self, *, max_bytes: int = MAX_BYTES, max_age: float = MAX_AGE, in_flight: int = IN_FLIGHT) -> None:
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._in_flight = in_flight
        self._cursors: set[Cursor] = set()
        self._messages: deque[_Message] = deque()
        self._written = 0  # bytes of all messages, of all histories
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
        self._first = self._end
        for cursor in self._cursors:
            cursor.number = self._first
        self._messages.clear()
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
        frame = framed(batch)
        self._written += len(frame)
        self._messages.append(_Message(self._version, batch.read_at, frame, self._written))
        self._drop(batch.read_at - self._max_age)
        self._notify()

    def _drop(self, oldest: float) -> None:
        """Drop what no cursor needs, and what the bounds exclude."""
        messages = self._messages
        # A cursor before the first message has lost the history already.
        needed = min((cursor.number for cursor in self._cursors if cursor.number >= self._first), default=self._end)
        read = messages[needed - self._first - 1].end if needed > self._first else 0
        keep_from = max(read - self._in_flight, self._written - self._max_bytes)
        while len(messages) > 1 and (messages[0].end <= keep_from or messages[0].read_at < oldest):
            self._floor, self._missing = messages.popleft().version, HISTORY_LOST
            self._first += 1

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def _end(self) -> int:
        """The number of the next message."""
        return self._first + len(self._messages)

    @contextlib.contextmanager
    def cursor(self) -> Iterator[Cursor]:
        """A cursor at the end of the log. A worker needs it before it reads its snapshot, for the events after that."""
        cursor = Cursor(self._end)
        self._cursors.add(cursor)
        try:
            yield cursor
        finally:
            self._cursors.remove(cursor)

    async def read(self, after: int, cursor: Cursor) -> AsyncGenerator[bytes]:
        """The messages with the events after a cluster time; the first one may contain earlier events too.

        The cursor moves with them, and to the end of the log if they are missing. Waits for the beginning of the
        history. Raises HistoryLost if events are missing.
        """
        while self._floor is None:
            await self._changed.wait()
        if after < self._floor:
            cursor.number = self._end
            raise HistoryLost(self._missing)
        history = self._history
        cursor.number = self._first + bisect_right(self._messages, after, key=lambda message: message.version)
        while True:
            if history.end is not None:
                raise HistoryLost(history.end)
            if cursor.number < self._first:
                cursor.number = self._end
                raise HistoryLost(HISTORY_LOST)
            if cursor.number < self._end:
                frame = self._messages[cursor.number - self._first].frame
                cursor.number += 1  # not after the frame is sent: a new history may have moved the cursor meanwhile
                yield frame
            else:
                await self._changed.wait()
