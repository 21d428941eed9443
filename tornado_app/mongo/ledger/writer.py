"""Writes the ledger from the players' change stream, in one process at a time, without gaps and duplicates.

leases: {_id: "ledger", holder, until, term, resume_token?, watermark?, reconcile_started?, initialised?}

Everything up to `resume_token` is in the ledger; `watermark` is the cluster time of the same point, for readers. Both
are written with each renewal of the lease. After a crash the next writer reads the stream from `resume_token` again and
recognises existing entries by their versions (entries.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pymongo
from bson import Timestamp
from pymongo.errors import OperationFailure, PyMongoError

from tornado_app.core.ledger import Entry, EntryKind
from tornado_app.mongo.change_stream.events import HistoryLost, PlayerEvent
from tornado_app.mongo.change_stream.feed import Feed
from tornado_app.mongo.change_stream.reader import TURN, Batch, ChangeStreamReader, ResumePointInvalid
from tornado_app.mongo.change_stream.source import BATCH, LOST_HISTORY
from tornado_app.mongo.client.cluster_time import cluster_time
from tornado_app.mongo.client.driver import Client
from tornado_app.mongo.ledger.appender import DuplicateWriteId, LedgerAppender
from tornado_app.mongo.ledger.chain_heads import ChainHeads
from tornado_app.mongo.ledger.entries import LedgerEvent, entries_for, head_of, ledger_event
from tornado_app.mongo.ledger.lease import CALL_TIMEOUT, TTL, Lease, LeaseLost
from tornado_app.mongo.ledger.reader import LEDGER
from tornado_app.mongo.ledger.reconciliation import PAGE, Reconciliation, erasure
from tornado_app.mongo.ledger.retention import Retention
from tornado_app.mongo.players.documents import Document
from tornado_app.runtime.backoff import backoff
from tornado_app.runtime.tasks import jittered, run_until_first_exits

log = logging.getLogger("leaderboard.ledger")

END_SECONDS = 3.0
"""Maximum time at shutdown to append pending entries and release the lease."""

FIRST_PAUSE, MAX_PAUSE = 0.05, 1.0
"""Seconds between two attempts after an error."""


GATHER = 0.05
"""Pause that collects events at low load: an insert of ten costs the database little more than one of one."""


class LedgerWriter:
    """Keeps one board's ledger while this process holds the lease. `ttl`: of the lease, in seconds.

    `on_appended` is called with a kind and the number of its durable entries. `feed`: the feed of the same players in
    this process. `retention`: seconds after which entries are folded; None keeps all.
    """

    def __init__(
        self,
        client: Client,
        database: str,
        *,
        collection: str = "players",
        ledger: str = LEDGER,
        ttl: float = TTL,
        on_appended: Callable[[EntryKind, int], None] = lambda kind, count: None,
        feed: Feed | None = None,
        page: int = PAGE,
        retention: float | None = None,
    ) -> None:
        self._feed = feed
        self._page = page
        self._players = client[database][collection]
        self.lease = Lease(client[database], ledger, ttl=ttl)
        self._appender = LedgerAppender(client[database], self.lease, collection=ledger, on_appended=on_appended)
        self._heads = ChainHeads(self._appender.entries)
        self._event_writer = EventWriter(self._appender, self._heads)
        self._retention = (
            None if retention is None else Retention(self._appender.entries, self._players, self.lease, retention)
        )
        self._resume_token: Any = None
        self._ending = asyncio.Event()
        self._ends_at = 0.0
        self._idle = asyncio.Event()
        self._current = asyncio.Event()
        self._watermark: Timestamp | None = None
        self._awaited: tuple[Timestamp | None, float] | None = None

    @property
    def holds(self) -> bool:
        """Whether this process writes the ledger now."""
        return self.lease.left > 0

    @property
    def lag(self) -> float:
        """Seconds by which the ledger may be behind: if this process writes it, or if no process does."""
        if self.holds:
            return 0.0 if self._awaited is None else time.monotonic() - self._awaited[1]
        vacant = self.lease.vacant_since
        return 0.0 if vacant is None else time.monotonic() - vacant

    async def run(self) -> None:
        """Write until cancelled, and retry after every error; after `close` it does nothing."""
        await self._work()
        self._idle.set()
        await asyncio.get_running_loop().create_future()

    async def caught_up(self) -> None:
        """Wait until everything is recorded that existed when this process took the lease."""
        await self._current.wait()

    async def close(self) -> None:
        """Append pending entries and release the lease, within `END_SECONDS`."""
        self._ends_at = time.monotonic() + END_SECONDS / 2
        self._ending.set()
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._idle.wait()
        except TimeoutError:
            log.warning("the ledger lacks the last events: the next writer continues there")

    async def _work(self) -> None:
        failures = 0
        while not self._ending.is_set():
            try:
                state = await self.lease.take()
                if state is not None:
                    failures = 0
                    await self._hold(state)
                pause = self.lease.pause
            except LeaseLost as lost:
                log.warning("the ledger's lease is lost: %s", type(lost).__name__)
                pause = self.lease.pause
            except PyMongoError as error:
                log.warning("the ledger is not written for now: %s", type(error).__name__)
                failures += 1
                pause = backoff(failures, FIRST_PAUSE, MAX_PAUSE)
            except Exception:  # the board continues without its ledger, and the lag shows it
                log.exception("the ledger is not written for now")
                await self._give_up()
                pause = self.lease.pause
            await self._rest(jittered(pause, 0.7))
        await self._give_up()

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._ending.wait()
        except TimeoutError:
            return

    async def _give_up(self) -> None:
        try:
            await self.lease.release()
        except PyMongoError as error:
            log.warning("the ledger's lease was not released and will expire: %s", type(error).__name__)

    # -- while this process holds the lease ----------------------------------------------------------

    async def _hold(self, state: Document) -> None:
        """Follow the stream and renew the lease; returns only when the service ends."""
        log.info("this process writes the ledger", extra={"term": state["term"]})
        self._heads.forget()
        self._resume_token = self._watermark = None
        self._awaited = None, time.monotonic()
        parts = [self._renew(), self._follow(state)]
        if self._retention is not None:
            parts.append(self._fold(self._retention))
        await run_until_first_exits(*parts)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self.lease.pause)
            try:
                if await self.lease.take(self._progress()) is None:
                    raise LeaseLost
                await self._probe()
            except PyMongoError as error:
                if self.lease.left == 0:
                    raise LeaseLost from error

    async def _fold(self, retention: Retention) -> None:
        await self.caught_up()
        await retention.run()

    def _progress(self) -> dict[str, Any]:
        kept = {"resume_token": self._resume_token, "watermark": self._watermark}
        return {name: value for name, value in kept.items() if value is not None}

    async def _probe(self) -> None:
        """Read the database's time: the ledger is behind until it has reached it."""
        moment = await self._moment()
        if self._awaited is None or self._awaited[0] is None:
            since = time.monotonic() if self._awaited is None else self._awaited[1]
            self._awaited = moment, since

    async def _moment(self) -> Timestamp:
        with pymongo.timeout(CALL_TIMEOUT):
            return await cluster_time(self._players.database)

    async def _follow(self, state: Document) -> None:
        await self._appender.prepare()
        try:
            place = state.get("resume_token")
            if not isinstance(place, Mapping | Timestamp):
                place = await self._open(state)
            reader = ChangeStreamReader(
                self._players, place, (lambda: None) if self._feed is None else self._feed.subscribe
            )
            await run_until_first_exits(reader.run(), self._consume(reader))
        except HistoryLost as lost:
            await self._lost(str(lost))
        except ResumePointInvalid:
            await self._lost("resume_point_invalid")
        except OperationFailure as error:
            if error.code not in LOST_HISTORY:
                raise
            await self._lost("history_lost")

    async def _open(self, state: Document) -> Any:
        first = not state.get("initialised")
        opening = Reconciliation(self._players, self._appender, self._heads, self.lease, first=first, page=self._page)
        started = await opening.run(state.get("reconcile_started"))
        self._heads.forget()
        await self.lease.keep({"resume_token": started, "reconcile_started": None, "initialised": True})
        return started

    async def _lost(self, reason: str) -> None:
        """Have the next start compare all players."""
        log.error("the ledger's resume point cannot be used: all players are compared with the ledger",
                  extra={"reason": reason})  # fmt: skip
        self._resume_token = None
        await self.lease.keep({"resume_token": None, "reconcile_started": None})

    async def _consume(self, reader: ChangeStreamReader) -> None:
        """Append incoming events; returns when the service ends and all earlier events are recorded."""
        first, last = await self._moment(), None
        while True:
            batch = await reader.batch()
            await self._event_writer.write(batch.events)
            self._reached(batch)
            if self._has(first):
                self._current.set()
            if self._ending.is_set():
                last = last or await self._moment()
                if self._has(last) or time.monotonic() > self._ends_at:
                    await self.lease.keep(self._progress())
                    return
            if 0 < len(batch.events) < BATCH:
                await self._rest(GATHER)

    def _reached(self, batch: Batch) -> None:
        """Update the ledger's position after a batch is recorded."""
        self._resume_token = batch.token
        self._watermark = batch.moment or self._watermark
        moment = None if self._awaited is None else self._awaited[0]
        if moment is not None and self._has(moment):
            self._awaited = None

    def _has(self, moment: Timestamp) -> bool:
        """Whether everything up to a moment is recorded. A read without new events does not show that."""
        return self._watermark is not None and self._watermark >= moment


class EventWriter:
    """Appends the entries for events; `heads` are the last entries of the chains in the ledger.

    A batch may be written again, whole or in part: existing entries are not written twice. Raises what LedgerAppender
    raises.
    """

    def __init__(self, appender: LedgerAppender, heads: ChainHeads) -> None:
        self._appender = appender
        self._heads = heads
        self._copied: set[tuple[str, int]] = set()

    async def write(self, decoded: Sequence[PlayerEvent | HistoryLost]) -> None:
        """Append the entries for the events. Raises a HistoryLost among them, after writing those before it."""
        lost = next((event for event in decoded if isinstance(event, HistoryLost)), None)
        before = decoded if lost is None else decoded[: decoded.index(lost)]
        players = (event for event in before if isinstance(event, PlayerEvent))
        events = [found for event in players if (found := ledger_event(event)) is not None]
        while events:
            try:
                await self._append(events)
            except DuplicateWriteId as duplicate:
                self._heads.forget()
                self._report_copy(duplicate.write_id, duplicate.version)
            else:
                break
        if lost is not None:
            raise lost

    async def _append(self, events: list[LedgerEvent]) -> None:
        await self._heads.load({event.player for event in events})
        entries: list[Entry] = []
        for number, event in enumerate(events):
            if number % TURN == 0:
                await asyncio.sleep(0)
            if event.erasure:
                await self._appender.append([entry for entry in entries if entry.player != event.player])
                await self._appender.erase(event.player, event.version)
                entries = await erasure(event, self._heads)
                await self._heads.reload(event.player)  # when the event is read again, later entries exist already
                continue
            new = entries_for(event, self._heads[event.player], self._copied)
            if len(new) > len(event.writes) and await self._has_any(event):  # rare: the history may be a copied one
                new = entries_for(event, self._heads[event.player], self._copied)
            if new:
                self._heads[event.player] = head_of(new[-1])
                entries += new
        await self._appender.append(entries)
        self._copied.clear()

    async def _has_any(self, event: LedgerEvent) -> bool:
        """Whether the ledger has one of the event's writes already; if so it is noted as copied."""
        for write in event.writes:
            if await self._appender.has(write.write_id):
                self._report_copy(write.write_id, event.version)
                return True
        return False

    def _report_copy(self, write_id: str, version: int) -> None:
        log.error("a history entry was copied from another write", extra={"write_id": write_id})
        self._copied.add((write_id, version))
