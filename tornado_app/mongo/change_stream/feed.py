"""The change feed: one change stream for each process, whose events update the board, the cache and the ledger.

The feed starts with a snapshot of all scores at cluster time T, then follows the events after T. The resume token is
kept in memory and updated after each batch, also of an idle stream. If the history is lost, the collection is dropped,
renamed or replaced, or an event does not show the change, the snapshot is taken again.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

import pymongo
from bson import Timestamp
from pymongo.errors import CursorNotFound, OperationFailure, PyMongoError

from tornado_app.core.errors import DatabaseError, StartupError
from tornado_app.core.interfaces import FeedListener, InconsistentChange
from tornado_app.mongo.change_stream.events import WATCHED, BoardChanges, HistoryLost, PlayerEvent, decode
from tornado_app.mongo.change_stream.snapshot import read_snapshot
from tornado_app.mongo.change_stream.subscription import MAX_EVENTS, Subscription
from tornado_app.mongo.change_stream.subscription import moment as resume_time
from tornado_app.mongo.client.cluster_time import cluster_time, cluster_time_to_int
from tornado_app.mongo.client.driver import Client, is_transient, maybe_await
from tornado_app.mongo.players import indexes
from tornado_app.mongo.players.cache import PlayerCache
from tornado_app.runtime.backoff import backoff
from tornado_app.runtime.tasks import jittered

log = logging.getLogger("leaderboard.feed")

AWAIT_MS = 100
"""Milliseconds for which the server holds an empty answer back: also the interval in which an idle stream reports its
position, for which a read with `If-Board-Version` may wait."""

BATCH = 200
"""Events in one answer; processing them blocks the loop for some milliseconds."""

PROBE_TIMEOUT = 2.0
"""Timeout of a ping, in seconds."""

CALL_TIMEOUT = 10.0
"""Seconds after which a silent connection is given up."""

FIRST_PAUSE, MAX_PAUSE = 0.05, 1.0
"""Seconds between two attempts to open the stream."""

LOST_HISTORY = frozenset({136, 237, 260, 280, 286})
"""CappedPositionLost, CursorKilled, InvalidResumeToken, ChangeStreamFatalError, ChangeStreamHistoryLost."""

RESUMABLE = "ResumableChangeStreamError"

COLLECTION_GONE = frozenset({"drop", "rename", "invalidate", "replaced"})


class Feed:
    """Reads the players' change stream into a listener until cancelled.

    `on_restart` is called with the reason when the stream is reopened; `cache` receives every event, and is cleared
    with the history.
    """

    def __init__(
        self,
        client: Client,
        database: str,
        listener: FeedListener,
        *,
        collection: str = "players",
        on_restart: Callable[[str], None] = lambda reason: None,
        cache: PlayerCache | None = None,
        call_timeout: float = CALL_TIMEOUT,
        max_subscribed: int = MAX_EVENTS,
    ) -> None:
        self._client = client
        self._database = database
        self._players = client[database][collection]
        self._listener = listener
        self._on_restart = on_restart
        self._cache = cache
        self._call_timeout = call_timeout
        self._max_subscribed = max_subscribed
        self._token: Mapping[str, Any] | None = None
        self._start: Timestamp | None = None
        self._changes = BoardChanges()
        self._alive_at: float | None = None
        self._awaited: tuple[Timestamp, float] | None = None
        self._index_gone = False
        self._collection: object = None
        self._replaced = False
        self._resync_requested = False
        self._followers: list[tuple[Timestamp, asyncio.Future[None]]] = []
        self._opened = asyncio.Event()
        self._subscription: Subscription | None = None

    def subscribe(self) -> Subscription | None:
        """A subscription to the events from now on, until the stream ends; None without a stream. A new one closes the
        last."""
        self._close_subscription()
        if self._alive_at is not None and self._token is not None:
            self._subscription = Subscription(self._token, self._max_subscribed)
        return self._subscription

    def _close_subscription(self) -> None:
        if self._subscription is not None:
            self._subscription.closed = True
        self._subscription = None

    async def wait_open(self) -> None:
        """Wait until the stream is open for the first time."""
        await self._opened.wait()

    @property
    def lag(self) -> float:
        """Seconds since the stream's last answer, or since it is behind the database, whichever is more.

        Infinite while the stream is down.
        """
        if self._alive_at is None:
            return float("inf")
        now = asyncio.get_running_loop().time()
        since = self._alive_at if self._awaited is None else min(self._alive_at, self._awaited[1])
        return now - since

    async def probe(self) -> None:
        """Read the database's time, and check that it is the same database. Raises DatabaseError.

        The stream is behind until it has reached that time.
        """
        try:
            with pymongo.timeout(PROBE_TIMEOUT):
                moment = await cluster_time(self._players.database)
                self._replaced = await self._find() != self._collection is not None
        except PyMongoError as error:
            raise DatabaseError from error
        if self._awaited is None:
            self._awaited = moment, asyncio.get_running_loop().time()

    async def caught_up(self) -> None:
        """Wait until the listener has received all present changes. Raises PyMongoError."""
        with pymongo.timeout(PROBE_TIMEOUT):
            moment = await cluster_time(self._players.database)
        reached = asyncio.get_running_loop().create_future()
        self._followers.append((moment, reached))
        await reached

    def request_resync(self) -> None:
        """Read the board again, because the listener has a wrong state."""
        self._resync_requested = True

    async def run(self) -> None:
        """Feed the listener until cancelled, and retry after every error."""
        failures = 0
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._follow()
            except HistoryLost as lost:
                self._forget(str(lost))
            except InconsistentChange:
                self._forget("inconsistent_change")
            except PyMongoError as error:
                self._broken(error)
            self._alive_at = None
            if asyncio.get_running_loop().time() - began > self._call_timeout:
                failures = 0
            await asyncio.sleep(jittered(backoff(failures, FIRST_PAUSE, MAX_PAUSE)))
            failures += 1

    def _broken(self, error: PyMongoError) -> None:
        if isinstance(error, OperationFailure) and error.code in LOST_HISTORY:
            self._forget("history_lost")
        elif isinstance(error, OperationFailure) and not _passes(error):
            self._forget("refused")
        else:
            reason = type(error).__name__
            log.warning("the change stream ended, reopening it: %s", reason)
            self._on_restart(reason)

    def _forget(self, reason: str) -> None:
        log.warning("the change stream's history cannot be used (%s), reading the board again", reason)
        self._on_restart(reason)
        self._token = self._start = None
        self._changes = BoardChanges()
        self._index_gone = reason in COLLECTION_GONE
        if self._cache is not None:
            self._cache.clear()
        self._listener.on_history_lost()

    async def _follow(self) -> None:
        if self._token is None and self._start is None:
            await self._load_snapshot()
        stream = await self._open()
        try:
            while True:
                with pymongo.timeout(self._call_timeout):  # one timeout for many events, which costs as much as for one
                    await self._read(stream, self._call_timeout / 2)
        finally:
            self._close_subscription()
            await close_stream(stream)

    async def _read(self, stream: Any, seconds: float) -> None:
        """Process events for about this time."""
        time = asyncio.get_running_loop().time
        end = time() + seconds
        while time() < end:
            document = await stream.try_next()
            event = None
            if self._replaced or self._resync_requested:
                raise HistoryLost("replaced" if self._replaced else "ranks_differ")
            self._lives(document)
            if document is not None:
                event = decode(document)
                self._handle(event)
            elif not stream.alive:  # it would return empty answers for ever, and never let another task run
                raise HistoryLost("invalidate")
            self._token = stream.resume_token or self._token
            self._reach(document)
            if self._subscription is not None:
                self._subscription.put(event, self._token)

    def _reach(self, event: Mapping[str, Any] | None) -> None:
        """Report the stream's position. An empty answer has one too, so that an idle board is not out of date."""
        moment = resume_time(self._token) if event is None else event["clusterTime"]
        if moment is not None:
            self._listener.on_progress(cluster_time_to_int(moment))

    async def _load_snapshot(self) -> None:
        """Read the board by a snapshot. A dropped or renamed collection has lost its index."""
        if self._index_gone:
            try:
                await indexes.ensure(self._client, self._database, self._players.name)
            except StartupError as error:
                log.error("%s", error)  # the board is correct without an index, but slow
            else:
                self._index_gone = False
        with pymongo.timeout(self._call_timeout):
            self._collection, self._replaced = await self._find(), False
            self._resync_requested = False
        moment, snapshot = await read_snapshot(self._client, self._players)
        # The events at the moment itself are in the snapshot. One of them may be the end of the previous collection,
        # with which a stream from there on would end at once.
        self._start = Timestamp(moment.time, moment.inc + 1)
        self._listener.on_snapshot(snapshot)

    async def _find(self) -> object:
        """An id of this collection, different for another of the same name; None if there is no collection.

        A stream continues without an error when a backup or an empty data directory has replaced the database.
        """
        command = {"listCollections": 1, "filter": {"name": self._players.name}}
        collections = (await self._players.database.command(command))["cursor"]["firstBatch"]
        return collections[0]["info"]["uuid"] if collections else None

    def _lives(self, event: Mapping[str, Any] | None) -> None:
        """Record an answer, and whether the stream has reached the database's last known time."""
        self._alive_at = asyncio.get_running_loop().time()
        self._opened.set()
        if self._awaited is not None and (event is None or event["clusterTime"] >= self._awaited[0]):
            self._awaited = None
        if self._followers:
            self._followers = [follower for follower in self._followers if not _arrived(*follower, event)]

    async def _open(self) -> Any:
        place: dict[str, Any] = {"start_at_operation_time": self._start}
        if self._token is not None:
            place = {"resume_after": self._token}
        with pymongo.timeout(self._call_timeout):
            opening = self._players.watch(WATCHED, max_await_time_ms=AWAIT_MS, batch_size=BATCH, **place)
            stream = await maybe_await(opening)
        if inspect.isawaitable(opening):  # Motor asks the server only with the first look at the stream
            self._lives(None)
        return stream

    def _handle(self, event: PlayerEvent | None) -> None:
        if event is None:
            return
        if self._cache is not None:
            self._cache.on_event(event.player, event.kind, event.seq, event.touched)
        change = self._changes.change(event)
        if change is not None:
            self._listener.on_change(change)


def _arrived(moment: Timestamp, reached: asyncio.Future[None], event: Mapping[str, Any] | None) -> bool:
    """Whether the stream is past a moment: later events follow, or there are no more."""
    if event is not None and event["clusterTime"] <= moment:
        return reached.done()
    if not reached.done():
        reached.set_result(None)
    return True


def _passes(error: OperationFailure) -> bool:
    """Whether the stream can continue at its position. Any other refusal is because of that position."""
    return is_transient(error) or isinstance(error, CursorNotFound) or error.has_error_label(RESUMABLE)


async def close_stream(stream: Any) -> None:
    """Close a change stream's cursor, or leave that to the server."""
    try:
        with pymongo.timeout(1.0):
            await maybe_await(stream.close())
    except PyMongoError as error:
        log.debug("a change stream's cursor was left to the server: %s", type(error).__name__)
