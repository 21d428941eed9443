"""Writes the ledger from the players' change stream, in one process at a time, without gaps and duplicates.

leases: {_id: "ledger", holder, until, term, resume_point?, resume_token?, watermark?, reconcile_started?, initialised?}

Everything up to `resume_point` is in the ledger, of all boards; `watermark` is the cluster time of the same point, for
readers. Both are written with each renewal of the lease. After a crash the next writer reads the stream from
`resume_point` again and recognises existing entries by their versions (entries.py). A former version of the service,
which follows the board `main` only, keeps its place in `resume_token` (reconciliation.position). After one wrote the
ledger, the stream is read from `resume_point` again, for the events of the other boards.
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

from tornado_app.core.boards import MAIN
from tornado_app.core.ledger import Entry, EntryKind
from tornado_app.mongo.change_stream.events import HistoryLost, PlayerEvent
from tornado_app.mongo.change_stream.feed import Feed
from tornado_app.mongo.change_stream.reader import TURN, Batch, ChangeStreamReader, ResumePointInvalid
from tornado_app.mongo.change_stream.resume_point import ResumePoint, moment
from tornado_app.mongo.change_stream.source import BATCH, LOST_HISTORY
from tornado_app.mongo.client.cluster_time import cluster_time, cluster_time_of
from tornado_app.mongo.client.driver import Client
from tornado_app.mongo.ledger.appender import DuplicateWriteId, LedgerAppender
from tornado_app.mongo.ledger.chain_heads import ChainHeads
from tornado_app.mongo.ledger.entries import LedgerEvent, entries_for, head_of, ledger_event
from tornado_app.mongo.ledger.lease import CALL_TIMEOUT, TTL, Lease, LeaseLost
from tornado_app.mongo.ledger.reader import LEDGER, boards_with_data
from tornado_app.mongo.ledger.reconciliation import PAGE, Reconciliation, erasure, position
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
    """Keeps the ledger of all boards while this process holds the lease. `ttl`: of the lease, in seconds.

    A board is what has a collection of a board's name, whether this process serves it or not. `on_appended` is called
    with a kind and the number of its durable entries. `feed`: the feed of the same database in this process.
    `retention`: seconds after which entries are folded; None keeps all.
    """

    def __init__(
        self,
        client: Client,
        database: str,
        *,
        ledger: str = LEDGER,
        ttl: float = TTL,
        on_appended: Callable[[EntryKind, int], None] = lambda kind, count: None,
        feed: Feed | None = None,
        page: int = PAGE,
        retention: float | None = None,
    ) -> None:
        self._feed = feed
        self._page = page
        self._database: Any = client[database]
        self.lease = Lease(client[database], ledger, ttl=ttl)
        self._appender = LedgerAppender(client[database], self.lease, collection=ledger, on_appended=on_appended)
        self._heads = ChainHeads(self._appender.entries)
        self._event_writer = EventWriter(self._appender, self._heads)
        self._retention = (
            None if retention is None else Retention(self._database, self._appender.entries, self.lease, retention)
        )
        self._resume_point: ResumePoint | None = None
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
        self._resume_point = self._watermark = None
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
        kept = {} if self._resume_point is None else position(self._resume_point)
        return kept if self._watermark is None else kept | {"watermark": self._watermark}

    async def _probe(self) -> None:
        """Read the database's time: the ledger is behind until it has reached it."""
        moment = await self._moment()
        if self._awaited is None or self._awaited[0] is None:
            since = time.monotonic() if self._awaited is None else self._awaited[1]
            self._awaited = moment, since

    async def _moment(self) -> Timestamp:
        with pymongo.timeout(CALL_TIMEOUT):
            return await cluster_time(self._database)

    async def _follow(self, state: Document) -> None:
        await self._appender.prepare()
        try:
            place = state.get("resume_point")
            if not isinstance(place, Mapping | Timestamp):
                place = await self._open(state)
            reader = ChangeStreamReader(
                self._database, place, (lambda: None) if self._feed is None else self._feed.subscribe
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

    async def _open(self, state: Document) -> ResumePoint:
        """Compare the players of all boards with the ledger; where the stream is read from."""
        boards = await boards_with_data(self._database, self._appender.entries)
        new = set[str]() if state.get("initialised") else set(boards)
        former = None
        if state.get("initialised") and "resume_point" not in state:  # written by versions that follow `main` only
            new = {board for board in boards if board != MAIN.name}
            former = state.get("resume_token")
        if isinstance(former, Mapping | Timestamp):
            boards.remove(MAIN.name)
        else:
            former = None
        started: Timestamp | None = state.get("reconcile_started")
        for board in boards:
            started = await self._compare(board, started, first=board in new)
        self._heads.forget()
        place: ResumePoint | None = former or started
        assert place is not None  # noqa: S101  # without a former one, main was compared
        if isinstance(place, Mapping):
            place = moment(place) or place
        await self.lease.keep({**position(place), "reconcile_started": None, "initialised": True})
        return place

    async def _compare(self, board: str, started: Timestamp | None, *, first: bool) -> Timestamp:
        comparison = Reconciliation(
            self._database, board, self._appender, self._heads, self.lease, first=first, page=self._page
        )
        return await comparison.run(started)

    async def _lost(self, reason: str) -> None:
        """Have the next start compare all players."""
        log.error("the ledger's resume point cannot be used: all players are compared with the ledger",
                  extra={"reason": reason})  # fmt: skip
        self._resume_point = None
        await self.lease.keep({**position(None), "reconcile_started": None})

    async def _consume(self, reader: ChangeStreamReader) -> None:
        """Append incoming events; returns when the service ends and all earlier events are recorded."""
        first, last = await self._moment(), None
        while True:
            batch = await reader.batch()
            await self._write(batch.events)
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

    async def _write(self, events: Sequence[PlayerEvent | HistoryLost]) -> None:
        """Append the entries for the events. After the end of a board's collection, only that board is compared."""
        written = 0
        for number, event in enumerate(events):
            if isinstance(event, PlayerEvent) and event.ends_history:
                await self._event_writer.write(events[written:number])
                written = number + 1
                log.error("a board has lost its collection: its players are compared with the ledger",
                          extra={"board": event.board, "reason": event.kind})  # fmt: skip
                self._heads.forget()
                await self._compare(event.board, cluster_time_of(event.version), first=False)
                self._heads.forget()
        await self._event_writer.write(events[written:])

    def _reached(self, batch: Batch) -> None:
        """Update the ledger's position after a batch is recorded."""
        self._resume_point = batch.moment or batch.token
        self._watermark = batch.moment or self._watermark
        awaited = None if self._awaited is None else self._awaited[0]
        if awaited is not None and self._has(awaited):
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
        await self._heads.load({event.chain for event in events})
        entries: list[Entry] = []
        for number, event in enumerate(events):
            if number % TURN == 0:
                await asyncio.sleep(0)
            if event.erasure:
                await self._appender.append([entry for entry in entries if entry.chain != event.chain])
                await self._appender.erase(event.chain, event.version)
                entries = await erasure(event, self._heads)
                await self._heads.reload(event.chain)  # when the event is read again, later entries exist already
                continue
            new = entries_for(event, self._heads[event.chain], self._copied)
            if len(new) > len(event.writes) and await self._has_any(event):  # rare: the history may be a copied one
                new = entries_for(event, self._heads[event.chain], self._copied)
            if new:
                self._heads[event.chain] = head_of(new[-1])
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
