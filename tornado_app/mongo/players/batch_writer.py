"""One batch: decides the actions of many players, and writes them as one compare-and-set for each player."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import msgspec
import pymongo
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, PyMongoError, WriteError

from tornado_app.core.boards import MAIN, Board, Rule
from tornado_app.core.decide import Accepted, Decision, PlayerState, Refused, Replay, decide
from tornado_app.core.errors import DatabaseError
from tornado_app.core.history import INT64
from tornado_app.core.model import Action, utc_datetime
from tornado_app.core.policies import WritePolicy
from tornado_app.core.slots import NO_EPOCHS, OpenEpochs
from tornado_app.mongo.client.cluster_time import clocked, reached
from tornado_app.mongo.client.driver import DUPLICATE_KEY, TRANSIENT_CODES, drop_tracebacks, is_transient
from tornado_app.mongo.players import documents
from tornado_app.mongo.players.cache import PlayerCache
from tornado_app.mongo.players.documents import STATE_FIELDS, Document, MalformedDocument
from tornado_app.mongo.players.group_commit import PendingWrite
from tornado_app.mongo.players.records import PLACEHOLDER, Records, copies, new_state, place
from tornado_app.runtime.tasks import jittered

log = logging.getLogger("leaderboard.store")

RETRY_PAUSE = 0.05
"""Seconds, before jitter, after a batch that a transient error ended."""

CHUNK_ENTRIES = 5000
"""History entries that are read and decided at once: some 5 ms of work."""


_RACES = frozenset({DUPLICATE_KEY, documents.FENCED})
"""Errors of an upsert that came too late: another write has created the player, or the epoch has ended."""


class PlayerWrite:
    """The actions of one player in a batch, decided one after the other from one state and written as one update.

    `before` and `after`: the player's state; None: the player does not exist. `accepted` are the actions that the
    update applies. `answered` are replays and refusals from `before`; `dependent` are those that were decided after an
    accepted action, and are valid only if the update is made. `postponed` are left for the next batch. `scored`: the
    action that led to the score; None if the score stays as it was. `copies`: of a player who is new on another board
    than `main`, what the update copies from the player's record; there is a placeholder (records.py).
    """

    __slots__ = (
        "accepted", "after", "answered", "before", "board", "copies", "dependent", "epochs", "expired", "points",
        "postponed",
        "scored", "user_id",
    )  # fmt: skip

    def __init__(self, user_id: str, before: PlayerState | None, board: Board, epochs: OpenEpochs = NO_EPOCHS) -> None:
        self.user_id = user_id
        self.epochs = epochs
        self.board = board
        self.before = before
        self.after = before
        self.accepted: list[tuple[PendingWrite, Accepted]] = []
        self.answered: list[tuple[PendingWrite, Replay | Refused]] = []
        self.dependent: list[tuple[PendingWrite, Replay | Refused]] = []
        self.postponed: list[PendingWrite] = []
        self.expired: list[int] = []
        self.points = 0
        self.scored: Action | None = None
        self.copies: Document | None = None

    def decide(self, group: Iterable[PendingWrite], now: int, policy: WritePolicy) -> None:
        """Decide each action on the state after the one before."""
        for pending in group:
            decision = decide(self.after, pending.action, pending.write_id, now, policy, self.board, self.epochs.epochs)
            if isinstance(decision, Accepted):
                points = self.points + decision.entry.points
                if points not in INT64:  # more than one update can add, to a score that another program wrote
                    self.postponed.append(pending)
                    continue
                self.points = points
                pending.existed = self.before is not None and self.before.seq > 0
                self.accepted.append((pending, decision))
                if self.after is None or decision.state.score != self.after.score:
                    self.scored = pending.action
                self.after = decision.state
                self.expired += decision.expired
            elif self.accepted:
                self.dependent.append((pending, decision))
            else:
                self.answered.append((pending, decision))

    def update(self, now: int) -> tuple[Document, Document | list[Document], bool]:
        """The update of the player's document: its filter, the change, and whether it creates the player."""
        assert self.after is not None  # noqa: S101  # there is an accepted action
        state, fields = self.before, dict(self.copies or {})
        removed: tuple[str, ...] = ()
        if self.scored is not None:
            fields["updatedAt"] = utc_datetime(self.after.updated_at)
            if self.scored.metadata is not None:
                fields["metadata"] = self.scored.metadata
            elif state is not None and state.metadata:
                removed = ("metadata",)
        if state is None or not state.seq or (state.score is None and self.board.rule is Rule.SUM):
            fields["createdAt"] = utc_datetime(now)  # the event shows by it that the player is new on the board
        for pending, _ in self.accepted:
            fields |= documents.profile_fields(pending.action.profile)
        change = documents.update(
            state,
            [accepted.entry for _, accepted in self.accepted],
            expired=self.expired,
            fields=fields,
            removed=removed,
            slots=self.after.slots,
        )
        fence = self.epochs.until
        if self.copies is not None:
            return documents.condition(self.user_id, PLACEHOLDER, fence), change, False
        condition = documents.condition(self.user_id, state, fence)
        if state is None and fence is not None:
            return condition, documents.fenced_creation(change, fence), True
        return condition, change, state is None

    def is_in(self, state: PlayerState | None) -> bool:
        """Whether a player's state, as read, includes this write."""
        entries = state.history.entries if state is not None else None
        write_id = self.accepted[-1][0].write_id
        return any(entry.write_id == write_id for entry in entries or ())

    def succeed(self, version: int) -> None:
        """Answer all actions after the update. A board of `version` or later shows it."""
        assert self.after is not None  # noqa: S101  # there is an accepted action
        score, now = self.after.score, self.accepted[-1][1].receipt.updated_at
        for pending, decision in (*self.accepted, *self.dependent):
            self._answer(pending, decision, version, score, now)

    def answer(self, version: int) -> None:
        """Answer the replays and refusals from the state that was read."""
        for pending, decision in self.answered:
            self._answer(pending, decision, version)

    def lose(self) -> list[PendingWrite]:
        """The actions to decide again, because another write came first."""
        lost = [pending for pending, _ in (*self.accepted, *self.dependent)]
        for pending in lost:
            pending.lost_races += 1
        return lost

    def fail(self) -> None:
        """Refuse all actions: the database refused the update, or its outcome cannot be known."""
        for pending, _ in (*self.accepted, *self.dependent):
            pending.fail(DatabaseError())

    def _answer(
        self,
        pending: PendingWrite,
        decision: Decision,
        version: int,
        score: int | None = None,
        now: int | None = None,
    ) -> None:
        """Answer an action. `score`: the player's after the update at `now`, which supersedes a worse one."""
        if isinstance(decision, Refused):
            pending.fail(decision.error)
            return
        receipt = decision.receipt
        assert receipt is not None  # noqa: S101  # a replay was decided from a state that was read
        superseded_at = receipt.superseded_at
        if superseded_at is None and score is not None and self.board.order.better(score, receipt.score):
            superseded_at = now
        pending.succeed(msgspec.structs.replace(receipt, version=version, superseded_at=superseded_at))


class BatchWriter:
    """Writes batches to `players`. The states that a batch leaves are put into `cache`.

    `epochs`: those that a write counts in now; raises DatabaseError while they are not known.
    """

    def __init__(
        self,
        players: Any,
        records: Records,
        policy: WritePolicy,
        cache: PlayerCache,
        clock: Callable[[], int],
        board: Board = MAIN,
        epochs: Callable[[], OpenEpochs] = lambda: NO_EPOCHS,
    ) -> None:
        self._players = players
        self._records = records
        self.board = board
        self._policy = policy
        self._cache = cache
        self._clock = clock
        self._epochs = epochs
        self._max_entries = policy.limit.updates * math.ceil(policy.history_retention / policy.limit.window)

    @property
    def board(self) -> Board:
        """The board; only its bounds may change."""
        return self._board

    @board.setter
    def board(self, board: Board) -> None:
        self._board = board

    async def __call__(self, batch: Sequence[PendingWrite], seconds: float) -> Sequence[PendingWrite]:
        """As `group_commit.WriteBatch`."""
        now = self._clock()
        groups: dict[str, list[PendingWrite]] = {}
        for pending in batch:
            groups.setdefault(pending.action.user_id, []).append(pending)
        try:
            with pymongo.timeout(seconds):
                async with clocked(self._players) as session:
                    return await self._apply(groups, now, self._epochs(), session)
        except PyMongoError as error:
            return await self._failed([pending for pending in batch if not pending.settled], error)

    async def _apply(
        self, groups: dict[str, list[PendingWrite]], now: int, epochs: OpenEpochs, session: Any
    ) -> list[PendingWrite]:
        writes = self._from_cache(groups, now, epochs)
        unread = [user_id for user_id in groups if user_id not in writes]
        new: list[str] = []
        async for user_id, state in self._read(unread, groups, session):
            if (state is None or not state.seq) and self.board.name != MAIN.name:
                new.append(user_id)
                continue
            write = self._decided(user_id, state, groups[user_id], now, epochs)
            write.answer(reached(session))
            if write.accepted:
                writes[user_id] = write
            elif state is not None:
                self._cache.put(user_id, state)
        if new:
            writes |= await self._new(new, groups, now, epochs, session)
        if not writes:
            return []
        retried = [pending for write in writes.values() for pending in write.postponed]
        applied, refused = await self._write(list(writes.values()), now, session)
        version = reached(session)
        if applied < len(writes):
            return retried + await self._settle(writes, applied, refused, groups, session)
        for write in writes.values():
            self._succeed(write, version)
        return retried

    def _from_cache(
        self, groups: dict[str, list[PendingWrite]], now: int, epochs: OpenEpochs
    ) -> dict[str, PlayerWrite]:
        """The writes of players whose cached state accepts each of their actions."""
        writes = {}
        for user_id, group in groups.items():
            state = self._cache.pop(user_id)
            if state is None or any(pending.read_first for pending in group):
                continue
            write = PlayerWrite(user_id, state, self.board, epochs)
            write.decide(group, now, self._policy)
            if not write.answered and not write.dependent:
                writes[user_id] = write
        return writes

    async def _new(
        self, user_ids: list[str], groups: dict[str, list[PendingWrite]], now: int, epochs: OpenEpochs, session: Any
    ) -> dict[str, PlayerWrite]:
        """The writes of players who are new on another board than `main`, decided from their records (records.py).

        The others are answered before anything is stored of them.
        """
        writes: dict[str, PlayerWrite] = {}
        for placed in (False, True):
            if placed and user_ids:
                await place(self._players, user_ids, session)
            records = await self._records.read(user_ids, session) if user_ids else {}
            for user_id in user_ids:
                record = records.get(user_id)
                write = self._decided(user_id, new_state(record), groups[user_id], now, epochs)
                write.copies = copies(record)
                if placed or not write.accepted:
                    write.answer(reached(session))
                if write.accepted:
                    writes[user_id] = write
                else:
                    writes.pop(user_id, None)
            user_ids = list(writes)
        return writes

    def _decided(
        self, user_id: str, state: PlayerState | None, group: Sequence[PendingWrite], now: int, epochs: OpenEpochs
    ) -> PlayerWrite:
        """The write of a player whose state was read."""
        if state is None or not state.seq:  # a player that was erased since an earlier attempt must not come back by it
            for pending in group:
                if pending.read_first and pending.existed:
                    pending.fail(DatabaseError(retry_after=1.0))
        write = PlayerWrite(user_id, state, self.board, epochs)
        write.decide([pending for pending in group if not pending.settled], now, self._policy)
        return write

    def _succeed(self, write: PlayerWrite, version: int) -> None:
        if write.after is not None:
            self._cache.put(write.user_id, write.after)
        write.succeed(version)

    async def _settle(
        self,
        writes: dict[str, PlayerWrite],
        applied: int,
        refused: set[str],
        groups: dict[str, list[PendingWrite]],
        session: Any,
    ) -> list[PendingWrite]:
        """Answer the writes that were applied, if others were not; returns the actions to decide again."""
        lost: list[PendingWrite] = []
        gone: list[PlayerWrite] = []
        for user_id in refused:
            writes[user_id].fail()
        async for user_id, state in self._read([player for player in writes if player not in refused], groups, session):
            write = writes[user_id]
            if write.is_in(state):
                applied -= 1
                self._succeed(write, reached(session))
            elif state is None and (write.before is not None or write.copies is not None):
                gone.append(write)
            else:
                lost += write.lose()
                if state is not None and state.seq:
                    self._cache.put(user_id, state)
        for write in gone:  # players that were erased
            if applied:  # one of these writes was applied before the erasure, and must not bring the player back
                write.fail()
            else:
                lost += write.lose()
        return lost

    async def _write(self, writes: list[PlayerWrite], now: int, session: Any) -> tuple[int, set[str]]:
        """How many were applied, and the players whose update the database refused."""
        updates = [write.update(now) for write in writes]
        try:
            if len(updates) == 1:
                condition, change, upsert = updates[0]
                result = await self._players.update_one(condition, change, upsert=upsert, session=session)
                return result.matched_count + (result.upserted_id is not None), set()
            operations = [UpdateOne(condition, change, upsert=upsert) for condition, change, upsert in updates]
            results = await self._players.bulk_write(operations, ordered=False, session=session)
            return results.matched_count + results.upserted_count, set()
        except WriteError as error:
            if error.code not in _RACES:
                raise
            drop_tracebacks(error)
            return 0, set()
        except BulkWriteError as error:
            applied = error.details["nMatched"] + error.details["nUpserted"]
            refused = {writes[index].user_id for index in _refused(error)}
            drop_tracebacks(error)
            return applied, refused

    async def _read(
        self, user_ids: list[str], groups: dict[str, list[PendingWrite]], session: Any
    ) -> AsyncIterator[tuple[str, PlayerState | None]]:
        """The states of players, from the primary. The actions of a player whose document is malformed are failed."""
        missing = dict.fromkeys(user_ids)
        async for document in self._documents(user_ids, session):
            user_id = document["_id"]
            del missing[user_id]
            try:
                state = documents.state_of(document)
            except MalformedDocument as malformed:
                log.error("a score update failed: %s", malformed.detail)
                for pending in groups[user_id]:
                    pending.fail(malformed)
            else:
                yield user_id, state
        for user_id in missing:
            yield user_id, None

    async def _documents(self, user_ids: list[str], session: Any) -> AsyncIterator[Document]:
        """The players' documents; other tasks run between chunks of about `CHUNK_ENTRIES` history entries."""
        if len(user_ids) == 1:  # a cursor costs the driver a fifth more
            document = await self._players.find_one({"_id": user_ids[0]}, STATE_FIELDS, session=session)
            if document is not None:
                yield document
        elif user_ids:
            size = min(len(user_ids), max(1, CHUNK_ENTRIES // self._max_entries))
            cursor = self._players.find({"_id": {"$in": user_ids}}, STATE_FIELDS, session=session).batch_size(size)
            while chunk := await cursor.to_list(size):
                for document in chunk:
                    yield document
                await asyncio.sleep(0)

    async def _failed(self, unanswered: list[PendingWrite], error: PyMongoError) -> Sequence[PendingWrite]:
        """The actions to decide again after a transient error. Raises DatabaseError for any other."""
        if is_transient(error):
            log.warning("retrying a batch of %d: %s", len(unanswered), type(error).__name__)
            drop_tracebacks(error)
            for pending in unanswered:
                pending.read_first = True
            await asyncio.sleep(jittered(RETRY_PAUSE, 0.5, 1.5))
            return unanswered
        code = getattr(error, "code", None)  # for example when the disk is full
        log.error("the database refused a batch of %d: %s", len(unanswered), type(error).__name__, extra={"code": code})
        raise DatabaseError(retry_after=1.0) from error


def _refused(error: BulkWriteError) -> set[int]:
    """The positions of the updates that the database refused. Raises an error of the whole batch.

    A duplicate key is an upsert of a player that another write has created, and is decided again, as after a transient
    error. Any other error is of that update alone (a validator, a document that has grown too large).
    """
    details: Any = error.details
    if details.get("writeConcernErrors"):
        raise error
    retried = TRANSIENT_CODES | _RACES
    faults = details.get("writeErrors", ())
    codes = {fault["index"]: fault["code"] for fault in faults if fault["code"] not in retried}
    if codes:
        log.error("some score updates were refused by the database", extra={"codes": sorted(set(codes.values()))})
    return set(codes)
