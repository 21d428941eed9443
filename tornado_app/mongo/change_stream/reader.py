"""A change stream read ahead: while one batch is worked on, the next one comes in.

It has a cursor of its own until it has caught up with the feed of the same process; from then on it takes what that
reads, and only when that ends has it to open one again.
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
from tornado_app.mongo.change_stream.feed import BATCH, CALL_TIMEOUT, close_stream
from tornado_app.mongo.change_stream.subscription import Subscription, Token, comes_after, moment
from tornado_app.mongo.client.driver import is_transient, maybe_await

log = logging.getLogger("leaderboard.ledger")

AWAIT_MS = 1
"""How long the server holds an empty answer back."""

SEEK_TIMEOUT = 300.0
"""Seconds for one answer until the stream has come to its end once: from an old place on, the server may have to look
through millions of other collections' events before it answers. The opening of a ledger writes as many."""

REST = 0.1
"""Seconds for which the stream is left alone when it has nothing more: several events then come in one answer, and the
ledger keeps out of the way of who waits for the write itself."""

LAST_READ = 5.0
"""Seconds that what came before the end of a stream has to be taken up."""

TURN = 20
"""Events after which other tasks run: one that takes back many actions is some 10 KB of work."""

MAX_AHEAD = 5 * BATCH
"""Maximum of events read ahead."""

ResumePoint = Mapping[str, Any] | Timestamp


class ResumePointInvalid(Exception):
    """The stream can't be read from that place on."""


class Batch:
    """Events in their order, and the token after the last of them, which `watch` takes as `resume_after`.

    A HistoryLost among them stands for an event after which the stream says nothing more.
    """

    __slots__ = ("events", "token")

    def __init__(self, events: list[PlayerEvent | HistoryLost], token: Mapping[str, Any] | None) -> None:
        self.events = events
        self.token = token

    @property
    def moment(self) -> Timestamp | None:
        """The cluster time of the place: nothing before it is left. None where the token does not tell."""
        return moment(self.token)


class ChangeStreamReader:
    """Reads `collection`'s change stream from a place on: a resume token, or a cluster time, which is included.

    `subscribe`: what the feed of the same collection reads from now on.
    """

    def __init__(
        self,
        collection: Any,
        resume_point: ResumePoint,
        subscribe: Callable[[], Subscription | None] = lambda: None,
        *,
        call_timeout: float = CALL_TIMEOUT,
    ) -> None:
        self._subscribe = subscribe
        self._call_timeout = call_timeout
        self._collection = collection
        self._resume_point = resume_point
        self._events: list[PlayerEvent | HistoryLost] = []
        self._token: Mapping[str, Any] | None = None
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._idle = False

    async def run(self) -> None:
        """Read until cancelled. Raises PyMongoError, and ResumePointInvalid where the place is what is wrong."""
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
        """Read the stream until all that a subscription left out has been read."""
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
        """Whether the stream has got beyond the time of a place, so that nothing up to there is left in it."""
        here, there = moment(self._token), moment(place)
        return here is not None and there is not None and here > there

    async def _follow(self, subscription: Subscription) -> None:
        """Take what the feed reads until that ends. It begins before our place: what was read already is left out."""
        ended, place = False, self._token
        while not ended:
            await asyncio.sleep(REST)
            await self._make_room()
            ended = subscription.closed
            events, token = subscription.take()
            self._events += [event for event in events if comes_after(event.token, place)]
            if token is not None and not self._is_past(token):
                self._token = token
            if token is not None:
                self._news.set()
        self._resume_point = self._token or self._resume_point

    async def _can_watch(self) -> bool:
        """Whether the stream can be opened where it is now, so that nothing but the place stood in the way."""
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
            await self._read(stream, SEEK_TIMEOUT)  # only with the first look is the place sought
        except BaseException:
            await close_stream(stream)
            raise
        return stream

    async def _watch(self, start: Mapping[str, Any], seconds: float) -> Any:
        with pymongo.timeout(seconds):
            return await maybe_await(
                self._collection.watch(WATCHED, max_await_time_ms=AWAIT_MS, batch_size=BATCH, **start)
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
        elif not stream.alive:  # the collection is gone: an answer comes at once and for ever, and it is no answer
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
            self._events.append(event)
        if len(self._events) % TURN == 0:
            await asyncio.sleep(0)

    async def _finish(self) -> None:
        """Let what came before be read; the last of it tells why the stream ended, and should it not, this does."""
        self._news.set()
        await asyncio.sleep(LAST_READ)
        raise HistoryLost("invalidate")

    async def batch(self) -> Batch:
        """All that has come in since the last one: no event, where only the place has moved on."""
        await self._news.wait()
        self._news.clear()
        batch = Batch(self._events, self._token)
        self._events = []
        self._room.set()
        return batch
