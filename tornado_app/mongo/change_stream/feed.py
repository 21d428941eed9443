"""The change feed: the events of one source update the views, the caches and the ledger.

The feed starts with a snapshot of the scores of all boards at cluster time T, then follows the events after T. Its
position is kept in memory and updated after each batch, also of an idle stream. If the history is lost, a collection is
dropped, renamed or replaced, or an event does not show the change, the snapshot of all boards is taken again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any

import pymongo
from bson import Timestamp
from pymongo.errors import PyMongoError

from tornado_app.core.boards import MAIN, Board, View
from tornado_app.core.errors import DatabaseError, StartupError
from tornado_app.core.interfaces import FeedListener
from tornado_app.mongo.change_stream.events import METADATA, PROFILE, BoardChanges, HistoryLost, PlayerEvent
from tornado_app.mongo.change_stream.resume_point import ResumePoint
from tornado_app.mongo.change_stream.snapshot import read_snapshots
from tornado_app.mongo.change_stream.source import (
    CALL_TIMEOUT,
    RESUME_TIMEOUT,
    ChangeStream,
    EventBatch,
    EventSource,
    collection_ids,
    follow,
)
from tornado_app.mongo.change_stream.subscription import MAX_EVENTS, Subscription
from tornado_app.mongo.client.cluster_time import cluster_time, cluster_time_to_int
from tornado_app.mongo.client.driver import Client
from tornado_app.mongo.players import indexes
from tornado_app.mongo.players.cache import PlayerCache
from tornado_app.mongo.players.documents import collection_of

log = logging.getLogger("leaderboard.feed")

PROBE_TIMEOUT = 2.0
"""Timeout of a ping, in seconds."""

COLLECTION_GONE = frozenset({"drop", "rename", "invalidate", "replaced"})


class _Board:
    """What the feed keeps of one board."""

    __slots__ = ("cache", "changes", "order", "players", "view")

    def __init__(self, board: Board, players: Any, cache: PlayerCache) -> None:
        self.view = View(board.name)
        self.order = board.order
        self.players = players
        self.cache = cache
        self.changes = BoardChanges()


class Feed:
    """Feeds the events of all boards to a listener until cancelled.

    `boards`: each board and its player cache, which receives the board's events, and is cleared with the
    history; by default, the board `main`. `source`: where the events come from; by default, a change stream of the only
    board. `on_restart` is called with the reason when the stream is reopened.
    """

    def __init__(
        self,
        client: Client,
        database: str,
        listener: FeedListener,
        *,
        boards: Mapping[Board, PlayerCache] | None = None,
        source: EventSource | None = None,
        on_restart: Callable[[str], None] = lambda reason: None,
        call_timeout: float = CALL_TIMEOUT,
        resume_timeout: float = RESUME_TIMEOUT,
        max_subscribed: int = MAX_EVENTS,
    ) -> None:
        self._client = client
        self._database = client[database]
        caches = boards or {MAIN: PlayerCache()}
        self._boards = {
            board.name: _Board(board, self._database[collection_of(board.name)], cache)
            for board, cache in caches.items()
        }
        self._listener = listener
        self._on_restart = on_restart
        self._call_timeout = call_timeout
        self._resume_timeout = resume_timeout
        self._max_subscribed = max_subscribed
        self._source = source or self._change_stream()
        self._position: ResumePoint | None = None
        self._alive_at: float | None = None
        self._awaited: tuple[int, float] | None = None
        self._index_gone = False
        self._collection_ids: dict[str, object] = {}
        self._replaced = False
        self._resync_requested = False
        self._followers: list[tuple[int, float, asyncio.Future[None]]] = []
        self._opened = asyncio.Event()
        self._subscription: Subscription | None = None

    def _change_stream(self) -> ChangeStream:
        ((name, board),) = self._boards.items()
        return ChangeStream(board.players, name, call_timeout=self._call_timeout)

    def subscribe(self) -> Subscription | None:
        """A subscription to the events from now on, until the stream ends; None without a stream, or if it is silent. A
        new one closes the last."""
        self._close_subscription()
        if self.lag < self._call_timeout and isinstance(self._position, Mapping):
            self._subscription = Subscription(self._position, self._max_subscribed)
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

        Infinite while there is no stream.
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
                moment = await cluster_time(self._database)
                found = await self._find_collections()
                self._replaced = any(found.get(name) != known for name, known in self._collection_ids.items())
        except PyMongoError as error:
            raise DatabaseError from error
        if self._awaited is None:
            self._awaited = cluster_time_to_int(moment), asyncio.get_running_loop().time()

    async def caught_up(self) -> None:
        """Wait until the listener has received all present changes. Raises PyMongoError."""
        with pymongo.timeout(PROBE_TIMEOUT):
            moment = await cluster_time(self._database)
        loop = asyncio.get_running_loop()
        reached = loop.create_future()
        self._followers.append((cluster_time_to_int(moment), loop.time(), reached))
        await reached

    def request_resync(self) -> None:
        """Read all boards again, because the listener has a wrong state."""
        self._resync_requested = True

    async def run(self) -> None:
        """Feed the listener until cancelled, and retry after every error."""
        await follow(
            self._follow,
            on_lost=self._forget,
            on_broken=self._on_restart,
            position=lambda: self._position,
            stable=self._call_timeout,
            resume_timeout=self._resume_timeout,
        )

    def _forget(self, reason: str) -> None:
        log.warning("the change stream's history cannot be used (%s), reading the board again", reason)
        self._on_restart(reason)
        self._position = None
        self._index_gone = self._index_gone or reason in COLLECTION_GONE
        for board in self._boards.values():
            board.changes = BoardChanges()
            board.cache.clear()
        self._listener.on_history_lost()

    async def _follow(self) -> None:
        start = self._position or await self._load_snapshot()
        async with aclosing(self._source.read(start)) as batches:
            try:
                async for batch in batches:
                    self._receive(batch)
            finally:
                self._alive_at = None
                self._close_subscription()

    def _receive(self, batch: EventBatch) -> None:
        if self._replaced or self._resync_requested:
            raise HistoryLost("replaced" if self._replaced else "ranks_differ")
        self._alive_at = batch.read_at
        self._opened.set()
        for event in batch.events:
            self._handle(event)
        self._position = batch.token or self._position
        if batch.version is not None:
            self._listener.on_progress(batch.version)
        if self._awaited is not None and batch.is_past(*self._awaited):
            self._awaited = None
        if self._followers:
            self._followers = [follower for follower in self._followers if not _reached(batch, *follower)]
        if self._subscription is not None:
            self._subscription.put(batch.events, batch.token)

    def _handle(self, event: PlayerEvent) -> None:
        board = self._boards[event.board]
        board.cache.on_event(
            event.player,
            event.kind,
            event.seq,
            event.score,
            event.entries,
            profile_only=event.touched == PROFILE,
            metadata=bool(event.touched & METADATA),
        )
        change = board.changes.change(event)
        if change is not None:
            self._listener.on_change(board.view, change)

    async def _load_snapshot(self) -> ResumePoint:
        """Read all boards by a snapshot; the time from which events follow it."""
        if self._index_gone:
            await self._restore_indexes()
        with pymongo.timeout(self._call_timeout):
            self._collection_ids, self._replaced = await self._find_collections(), False
            self._resync_requested = False
        collections = {board.view: board.players for board in self._boards.values()}
        moment, snapshots = await read_snapshots(self._client, collections)
        # The events at the moment itself are in the snapshot. One of them may be the end of the previous collection,
        # with which a stream from there on would end at once.
        self._position = start = Timestamp(moment.time, moment.inc + 1)
        self._listener.on_snapshots(snapshots)
        return start

    async def _restore_indexes(self) -> None:
        """A dropped or renamed collection has lost its indexes."""
        try:
            for board in self._boards.values():
                await indexes.ensure(self._client, self._database.name, board.players.name, order=board.order)
        except StartupError as error:
            log.error("%s", error)  # the board is correct without an index, but slow
        else:
            self._index_gone = False

    async def _find_collections(self) -> dict[str, object]:
        return await collection_ids(self._database, [board.players.name for board in self._boards.values()])


def _reached(batch: EventBatch, version: int, since: float, reached: asyncio.Future[None]) -> bool:
    """Whether a waiter is done, because the stream is past its time or because it was cancelled."""
    if not reached.done() and batch.is_past(version, since):
        reached.set_result(None)
    return reached.done()
