"""Reads a change stream ahead: while one batch is processed, the next one arrives.

It has its own cursor until it has caught up with the feed of the same process; from then on it subscribes to the feed,
and opens its own cursor again when the subscription ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import pymongo
from bson import Timestamp
from pymongo.errors import OperationFailure

from tornado_app.mongo.change_stream.events import WATCHED, HistoryLost, PlayerEvent, decode
from tornado_app.mongo.change_stream.resume_point import ResumePoint, Token, moment
from tornado_app.mongo.change_stream.source import BATCH, CALL_TIMEOUT, close_stream
from tornado_app.mongo.change_stream.subscription import Subscription
from tornado_app.mongo.client.cluster_time import cluster_time_to_int
from tornado_app.mongo.client.driver import is_transient, maybe_await

log = logging.getLogger("leaderboard.ledger")

AWAIT_MS = 1
"""Milliseconds for which the server holds an empty answer back."""

SEEK_TIMEOUT = 300.0
"""Timeout of one answer, in seconds, until the stream has reached its end once: from an old resume point, the server
may have to read millions of events of other collections first. A new ledger causes as many."""

REST = 0.1
"""Pause in seconds when the stream has no more events: several events then come in one answer, and the ledger does not
delay the writes themselves."""

LAST_READ = 5.0
"""Maximum seconds to process the events from before the end of a stream."""

TURN = 20
"""Events after which other tasks run: a take-back of many actions is about 10 KB of work."""

MAX_AHEAD = 5 * BATCH
"""Maximum number of events read ahead."""


class ResumePointInvalid(Exception):
    """The stream cannot be read from this resume point."""


class Batch:
    """Events in order, and the token after the last of them, for `resume_after` of `watch`.

    A HistoryLost among them is an event after which the stream delivers nothing.
    """

    __slots__ = ("events", "token")

    def __init__(self, events: list[PlayerEvent | HistoryLost], token: Mapping[str, Any] | None) -> None:
        self.events = events
        self.token = token

    @property
    def moment(self) -> Timestamp | None:
        """The cluster time of the token: no earlier event follows. None if the token does not contain it."""
        return moment(self.token)


class ChangeStreamReader:
    """Reads a database's change stream from a resume token, or a cluster time, which is included.

    `subscribe`: subscribes to the feed of the same database.
    """

    def __init__(
        self,
        database: Any,
        resume_point: ResumePoint,
        subscribe: Callable[[], Subscription | None] = lambda: None,
        *,
        call_timeout: float = CALL_TIMEOUT,
    ) -> None:
        self._subscribe = subscribe
        self._call_timeout = call_timeout
        self._database = database
        self._resume_point = resume_point
        self._events: list[PlayerEvent | HistoryLost] = []
        self._token: Mapping[str, Any] | None = None
        first = resume_point if isinstance(resume_point, Timestamp) else moment(resume_point)
        self._last = 0 if first is None else cluster_time_to_int(first) - 1
        self._at_last: list[PlayerEvent] = []  # all events of that time that were read: further ones may follow
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._idle = False

    async def run(self) -> None:
        """Read until cancelled. Raises PyMongoError, and ResumePointInvalid for an invalid resume point."""
        while True:
            try:
                stream = await self._open()
            except OperationFailure as error:
                if is_transient(error) or not await self._can_watch():
                    raise
                raise ResumePointInvalid from error
            try:
                subscription = await self._catch_up(stream)
            finally:
                await close_stream(stream)
            await self._follow(subscription)

    async def _catch_up(self, stream: Any) -> Subscription:
        """Read the stream until it has passed the start of a subscription."""
        subscription, seconds = None, SEEK_TIMEOUT
        while True:
            await self._read(stream, seconds)
            if not self._idle:
                continue
            seconds = self._call_timeout
            if subscription is not None and not subscription.closed and self._is_past(subscription.start):
                return subscription
            if subscription is None or subscription.closed:
                subscription = self._subscribe()
            await asyncio.sleep(REST)

    def _is_past(self, place: Token) -> bool:
        """Whether the stream is past the time of a token, so that it has no event up to there."""
        here, there = moment(self._token), moment(place)
        return here is not None and there is not None and here > there

    async def _follow(self, subscription: Subscription) -> None:
        """Read the subscription until it ends. It begins before the own position; events already read are skipped.

        Of events with the time of the last one, which the shards of a cluster or a transaction make, the own stream may
        have read a part.

        A subscription that is silent for `call_timeout` is given up, because its stream may hang: an idle one has a new
        token with each answer of the database.
        """
        time = asyncio.get_running_loop().time
        ended, last, at_last = False, self._last, tuple(self._at_last)
        latest, heard_at = None, time()
        while not ended:
            await asyncio.sleep(REST)
            await self._make_room()
            ended = subscription.closed
            events, token = subscription.take()
            if token is not latest:
                latest, heard_at = token, time()
            elif time() - heard_at > self._call_timeout:
                subscription.closed = True
            for event in events:
                if event.version > last or (event.version == last and event not in at_last):
                    self._append(event)
            if token is not None and not self._is_past(token):
                self._token = token
            if token is not None:
                self._news.set()
        self._resume_point = self._token or self._resume_point

    async def _can_watch(self) -> bool:
        """Whether the stream can be opened at the present time, so that only the resume point was invalid."""
        try:
            stream = await self._watch({}, self._call_timeout)
            try:
                with pymongo.timeout(self._call_timeout):
                    await stream.try_next()
            finally:
                await close_stream(stream)
        except OperationFailure:
            return False
        return True

    async def _open(self) -> Any:
        place = self._resume_point
        start = {"start_at_operation_time": place} if isinstance(place, Timestamp) else {"resume_after": place}
        stream = await self._watch(start, SEEK_TIMEOUT)
        try:
            await self._read(stream, SEEK_TIMEOUT)  # the server searches for the resume point in the first read only
        except BaseException:
            await close_stream(stream)
            raise
        return stream

    async def _watch(self, start: Mapping[str, Any], seconds: float) -> Any:
        with pymongo.timeout(seconds):
            return await maybe_await(
                self._database.watch(WATCHED, max_await_time_ms=AWAIT_MS, batch_size=BATCH, **start)
            )

    async def _make_room(self) -> None:
        if len(self._events) >= MAX_AHEAD:
            self._room.clear()
            await self._room.wait()

    async def _read(self, stream: Any, seconds: float) -> None:
        await self._make_room()
        with pymongo.timeout(seconds):
            event = await stream.try_next()
        self._idle = event is None
        if event is not None:
            await self._add(event)
        elif not stream.alive:  # the database is gone: empty answers come at once, for ever
            await self._finish()
        self._token = stream.resume_token or self._token
        self._news.set()

    async def _add(self, document: Mapping[str, Any]) -> None:
        try:
            event = decode(document)
        except HistoryLost as lost:
            self._events.append(lost)
            return
        if event is not None:
            self._append(event)
        if len(self._events) % TURN == 0:
            await asyncio.sleep(0)

    def _append(self, event: PlayerEvent) -> None:
        self._events.append(event)
        if event.version > self._last:
            self._last, self._at_last = event.version, []
        self._at_last.append(event)

    async def _finish(self) -> None:
        """Let earlier events be processed; the last one has the reason of the end, otherwise the caller raises it."""
        self._news.set()
        await asyncio.sleep(LAST_READ)
        raise HistoryLost("invalidate")

    async def batch(self) -> Batch:
        """All events since the last batch; without events, only the position has moved."""
        await self._news.wait()
        self._news.clear()
        batch = Batch(self._events, self._token)
        self._events = []
        self._room.set()
        return batch
