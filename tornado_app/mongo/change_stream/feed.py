"""The change feed: the events of one source update the views, the caches and the ledger.

The feed starts with a snapshot of the scores of all boards at cluster time T, then follows the events after T. Its
position is kept in memory and updated after each batch, also of an idle stream. If the history is lost, a collection is
dropped, renamed or replaced, or an event does not show the change, the snapshot of all boards is taken again.

A board that is added later gets a snapshot of its own: its events are kept from before the snapshot's time on, until
the stream has passed that time, and those after it are then applied. The other boards do not wait for it.
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
from tornado_app.core.history import WriteKind
from tornado_app.core.interfaces import Change, FeedListener, ScoreSnapshot
from tornado_app.mongo.change_stream.events import METADATA, PROFILE, BoardChanges, HistoryLost, PlayerEvent
from tornado_app.mongo.change_stream.resume_point import ResumePoint
from tornado_app.mongo.change_stream.snapshot import ViewSource, read_snapshots
from tornado_app.mongo.change_stream.source import (
    CALL_TIMEOUT,
    FIRST_PAUSE,
    MAX_PAUSE,
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
from tornado_app.mongo.players.documents import ViewFields, collection_of
from tornado_app.runtime.backoff import backoff
from tornado_app.runtime.tasks import jittered

log = logging.getLogger("leaderboard.feed")

PROBE_TIMEOUT = 2.0
"""Timeout of a ping, in seconds."""

COLLECTION_GONE = frozenset({"drop", "rename", "invalidate", "replaced"})


class _Board:
    """What the feed keeps of one board. `added`: the board waits for a snapshot of its own."""

    __slots__ = ("added", "cache", "changes", "name", "order", "periods", "players", "view")

    def __init__(self, board: Board, players: Any, cache: PlayerCache) -> None:
        self.name = board.name
        self.view = View(board.name)
        self.periods = {period.name: View(board.name, period.name) for period in board.periods}
        self.order = board.order
        self.players = players
        self.cache = cache
        self.changes = BoardChanges()
        self.added: _Added | None = None

    def sources(self, epoch: Callable[[View], int]) -> dict[View, ViewSource]:
        """Where the scores of the views of the board are; `epoch`: the open one of a period."""
        periods = {
            view: ViewSource(self.players, ViewFields.of(period), epoch(view)) for period, view in self.periods.items()
        }
        return {self.view: ViewSource(self.players), **periods}

    def forget(self) -> None:
        """Drop what was derived from the events."""
        self.changes = BoardChanges()
        self.cache.clear()
        if self.added is not None:
            self.added.events.clear()


class _Added:
    """Of a board that waits for its snapshot: the events after the version `since`, and the snapshots of its views.

    `asked_at`: the loop's time before it was read. `done`: the listener has a snapshot of the board.
    """

    __slots__ = ("asked_at", "done", "events", "since", "snapshots")

    def __init__(self) -> None:
        self.since = 0
        self.events: list[PlayerEvent] = []
        self.asked_at = 0.0
        self.snapshots: Mapping[View, ScoreSnapshot] = {}
        self.done = asyncio.Event()


class Feed:
    """Feeds the events of all boards to a listener until cancelled.

    `boards`: each board and its player cache, which receives the board's events, and is cleared with the
    history; by default, the board `main`. Events of any other board are ignored. `source`: where the events come from;
    by default, a change stream of the database. `epoch`: the open one of a period. `on_restart` is called with the
    reason when the stream is reopened, `on_epoch_score` with what an action changed in a period.
    """

    def __init__(
        self,
        client: Client,
        database: str,
        listener: FeedListener,
        *,
        boards: Mapping[Board, PlayerCache] | None = None,
        source: EventSource | None = None,
        epoch: Callable[[View], int] = lambda view: 1,
        on_restart: Callable[[str], None] = lambda reason: None,
        on_epoch_score: Callable[[View, Change], None] = lambda view, change: None,
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
        self._epoch = epoch
        self._on_restart = on_restart
        self._on_epoch_score = on_epoch_score
        self._call_timeout = call_timeout
        self._resume_timeout = resume_timeout
        self._max_subscribed = max_subscribed
        self._source = source or ChangeStream(self._database, call_timeout=call_timeout)
        self._position: ResumePoint | None = None
        self._alive_at: float | None = None
        self._awaited: tuple[int, float] | None = None
        self._index_gone = False
        self._version = 0  # all earlier events were handled
        self._loaded = asyncio.Event()
        self._adding: set[_Board] = set()
        self._collection_ids: dict[str, object] = {}
        self._replaced = False
        self._resync_requested = False
        self._followers: list[tuple[int, float, asyncio.Future[None]]] = []
        self._opened = asyncio.Event()
        self._subscription: Subscription | None = None

    async def add(self, board: Board, cache: PlayerCache) -> None:
        """Feed the events of another board, too; returns when the listener has its snapshot, or after `remove`.

        Waits while the history is lost, and retries after errors of the database. If cancelled, the board is removed.
        """
        await self.wait_loaded()
        new = _Board(board, self._database[collection_of(board.name)], cache)
        new.added = added = _Added()
        self._boards[board.name] = new
        self._adding.add(new)
        try:
            await self._read_added(new, added)
            await added.done.wait()
        finally:
            if not added.done.is_set():
                self.remove(board.name)

    async def wait_loaded(self) -> None:
        """Wait while the history is lost."""
        while not self._loaded.is_set():
            await self._loaded.wait()

    def remove(self, name: str) -> None:
        """Ignore the events of a board from now on; one must be left. Raises KeyError for an unknown one."""
        board = self._boards.pop(name)
        self._collection_ids.pop(name, None)
        board.forget()
        self._added(board)

    def _added(self, board: _Board) -> None:
        """The board does not wait for a snapshot any more."""
        self._adding.discard(board)
        if board.added is not None:
            board.added.done.set()
            board.added = None

    async def _read_added(self, board: _Board, added: _Added) -> None:
        """Read the snapshot of a board, unless a snapshot of all boards comes first."""
        failures = 0
        while not added.done.is_set():
            added.events.clear()
            added.since, added.asked_at = self._version, asyncio.get_running_loop().time()
            try:
                with pymongo.timeout(self._call_timeout):
                    ids = await collection_ids(self._database)
                _, snapshots = await read_snapshots(self._client, board.sources(self._epoch))
            except PyMongoError as error:
                log.warning("reading the added board %s failed, trying again: %s", board.name, type(error).__name__)
            else:
                if snapshots[board.view].version >= added.since:  # a new primary may be behind the old one
                    added.snapshots = snapshots
                    if not added.done.is_set() and board.name in ids:
                        self._collection_ids[board.name] = ids[board.name]
                    return
            await asyncio.sleep(jittered(backoff(failures, FIRST_PAUSE, MAX_PAUSE)))
            failures += 1

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
                self._replaced = any(
                    found.get(board) != known for board, known in self._collection_ids.items() if board in self._boards
                )
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
        self._loaded.clear()
        self._index_gone = self._index_gone or reason in COLLECTION_GONE
        for board in self._boards.values():
            board.forget()
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
        if self._adding:
            self._show_added(batch)
        if batch.version is not None:
            self._version = batch.version
            self._listener.on_progress(batch.version)
        if self._awaited is not None and batch.is_past(*self._awaited):
            self._awaited = None
        if self._followers:
            self._followers = [follower for follower in self._followers if not _reached(batch, *follower)]
        if self._subscription is not None:
            self._subscription.put(batch.events, batch.token)

    def _show_added(self, batch: EventBatch) -> None:
        """Pass on the snapshots of added boards whose time the stream has passed, and the kept events after it."""
        for board in list(self._adding):
            added = board.added
            snapshot = None if added is None else added.snapshots.get(board.view)
            if added is None or snapshot is None or not batch.is_past(snapshot.version, added.asked_at):
                continue
            self._listener.on_snapshots(added.snapshots)
            self._added(board)
            for event in added.events:
                if event.version > snapshot.version:
                    self._report(board, event)
                else:
                    board.changes.skip(event)

    def _handle(self, event: PlayerEvent) -> None:
        board = self._boards.get(event.board)
        if board is None:
            return
        if event.ends_history:
            raise HistoryLost(event.kind)
        board.cache.on_event(
            event.player,
            event.kind,
            event.seq,
            event.score,
            event.entries,
            event.slots,
            profile_only=event.touched == PROFILE,
            metadata=bool(event.touched & METADATA),
        )
        if board.added is None:
            self._report(board, event)
        else:
            board.added.events.append(event)

    def _report(self, board: _Board, event: PlayerEvent) -> None:
        change = board.changes.change(event)
        if change is None:
            return
        self._listener.on_change(board.view, change)
        if not board.periods:
            return
        if event.touched & PROFILE:
            for view in board.periods.values():
                self._listener.on_change(view, Change(event.player, None, None, event.version, 0))
        for slot in event.slots:
            period = board.periods.get(slot.period)
            if period is not None:
                of_slot = Change(event.player, slot.old, slot.new, event.version, slot.at, epoch=slot.epoch)
                self._listener.on_change(period, of_slot)
                if event.entries[-1].kind == WriteKind.ACTION:
                    self._on_epoch_score(period, of_slot)

    async def _load_snapshot(self) -> ResumePoint:
        """Read all boards by a snapshot; the time from which events follow it."""
        if self._index_gone:
            await self._restore_indexes()
        with pymongo.timeout(self._call_timeout):
            self._collection_ids, self._replaced = await self._find_collections(), False
            self._resync_requested = False
        boards = list(self._boards.values())
        sources = {view: source for board in boards for view, source in board.sources(self._epoch).items()}
        moment, snapshots = await read_snapshots(self._client, sources)
        # The events at the moment itself are in the snapshot. One of them may be the end of the previous collection,
        # with which a stream from there on would end at once.
        self._position = start = Timestamp(moment.time, moment.inc + 1)
        self._version = cluster_time_to_int(moment)
        served = [board for board in boards if self._boards.get(board.name) is board]
        names = {board.name for board in served}
        self._listener.on_snapshots({view: found for view, found in snapshots.items() if view.board in names})
        for board in served:
            self._added(board)
        self._loaded.set()
        return start

    async def _restore_indexes(self) -> None:
        """A dropped or renamed collection has lost its indexes."""
        try:
            for board in list(self._boards.values()):
                await indexes.ensure(
                    self._client, self._database.name, board.players.name, order=board.order, periods=board.periods
                )
        except StartupError as error:
            log.error("%s", error)  # the board is correct without an index, but slow
        else:
            self._index_gone = False

    async def _find_collections(self) -> dict[str, object]:
        """The ids of the collections of the boards, by board."""
        return {board: id_ for board, id_ in (await collection_ids(self._database)).items() if board in self._boards}


def _reached(batch: EventBatch, version: int, since: float, reached: asyncio.Future[None]) -> bool:
    """Whether a waiter is done, because the stream is past its time or because it was cancelled."""
    if not reached.done() and batch.is_past(version, since):
        reached.set_result(None)
    return reached.done()
