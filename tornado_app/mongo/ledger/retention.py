"""Folds old ledger entries: all of a chain's that are older than the retention become one, the newest of them.

That entry is the checkpoint. Its member `checkpoint` is the hash of the entry before it, so that its own hash still
proves the number, the sum and the last hash of the folded entries, which are then removed. A crash between the two
writes leaves entries before a checkpoint: the audit skips them, and the next pass removes them.

A chain is verified before it is folded. One with a fault stays as it is, for the audit.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from pymongo import DeleteMany, UpdateOne
from pymongo.errors import PyMongoError

from tornado_app.core.ledger import ERASURES, ChainKey, Entry, EntryKind, entry_hash
from tornado_app.core.versions import to_board_version, version_at
from tornado_app.mongo.client.cluster_time import cluster_time
from tornado_app.mongo.client.driver import maybe_await
from tornado_app.mongo.ledger.lease import Lease, LeaseLost
from tornado_app.mongo.ledger.reader import FOLD_WINDOW, boards_with_data, chain_id, chain_of, chains_between, entry
from tornado_app.mongo.players.documents import Document, collection_of
from tornado_app.runtime.tasks import jittered

log = logging.getLogger("leaderboard.ledger")

PASSES = 100
"""Passes over all players within one retention, so that entries are kept for at most 1% longer."""

RETRY = 60.0
"""Maximum seconds until the next pass after an error."""

PAGE = 500
"""Players whose oldest entries are read at once."""

STEP = 100
"""Entries of one player that are read at once: about 2 ms of work."""

WIDER = 4
"""Factor by which more entries are read, up to FOLD_WINDOW, if none of the oldest ones can be a checkpoint."""

TOGETHER = 8
"""Players that are read at the same time."""

GROUP = 250
"""Entries that are removed by one command, at least, if there are as many."""

WORK, SHARE = 0.02, 0.5
"""Seconds of work between two pauses, and the share of the time that is work."""

_WITHOUT_WRITE = (EntryKind.OPENING, EntryKind.RECONCILED, EntryKind.EXTERNAL)
"""Entries that are not of a write of the service. A player's last write must stay in the ledger, where the audit, a
take-back and a reconciliation look for it. So none of these, which may be newer, becomes a checkpoint."""


class Fold(NamedTuple):
    """What makes `last` the checkpoint: `prev` is the hash of the entry before it, None if it is the checkpoint
    already. `removed`: the number of entries before it."""

    last: Entry
    prev: bytes | None
    removed: int


class Step(NamedTuple):
    """A fold of the oldest entries, None: not at all. `further`: whether the player may have more old ones."""

    fold: Fold | None
    further: bool


class BrokenChain(Exception):
    """The oldest entries of a player are not a chain."""


def fold(entries: Sequence[Entry], before: int) -> Fold | None:
    """How the oldest entries of a chain are folded that are older than the board version `before`; None: not at all.

    Raises BrokenChain.
    """
    first = max((place for place, each in enumerate(entries) if each.checkpoint), default=0)
    found = Fold(entries[first], None, first) if first else None
    prev, n, score = entries[first].checkpoint, entries[first].n, entries[first].score - entries[first].points
    if not prev and (n, score) != (1, 0):
        raise BrokenChain
    if first and entries[first - 1].n == n - 1 and entries[first - 1].hash != prev:
        raise BrokenChain
    for place, each in enumerate(entries[first:], start=first):
        if place > first and each.version >= before:
            break
        if (each.n, each.score) != (n, score + each.points) or entry_hash(each, prev) != each.hash:
            raise BrokenChain
        if place > first and each.kind not in _WITHOUT_WRITE:
            found = Fold(each, prev, place)
        prev, n, score = each.hash, n + 1, each.score
    return found


def _step(documents: Sequence[Document], limit: int, before: int) -> Step:
    """The step that folds the oldest documents of a player, of which `limit` were read. Raises BrokenChain."""
    try:
        entries = [entry(document) for document in documents]
    except (KeyError, TypeError, ValueError):
        raise BrokenChain from None
    return Step(fold(entries, before), further=len(entries) == limit and entries[-1].version < before)


def _chain(member: Any) -> ChainKey | None:
    """The chain with this member `player`; None if another program wrote it."""
    try:
        return chain_of(member)
    except (KeyError, TypeError):
        return None


class Retention:
    """Keeps entries for `seconds`, while this process holds the lease.

    Two processes may fold at once, because one was stopped for longer than its lease. Each removes only what a durable
    checkpoint replaces; the version in the condition protects the new entries of a player who was erased meanwhile.
    """

    def __init__(self, database: Any, entries: Any, lease: Lease, seconds: float) -> None:
        self._database = database
        self._entries = entries
        self._lease = lease
        self._seconds = seconds
        self._began = 0.0

    async def run(self) -> None:
        """Fold in passes until cancelled. Raises LeaseLost."""
        while True:
            pause = self._seconds / PASSES
            try:
                await self.fold_all()
            except LeaseLost:
                raise
            except PyMongoError as error:
                pause = min(RETRY, pause)
                reason = type(error).__name__
                log.warning("folding old ledger entries failed, trying again in %.0f s: %s", pause, reason)
            except Exception:  # the ledger is written without it
                log.exception("folding old ledger entries failed, trying again in %.0f s", pause)
            await asyncio.sleep(jittered(pause))

    async def fold_all(self) -> int:
        """One pass over all players of all boards; the number of removed entries. Raises LeaseLost and PyMongoError."""
        with self._lease.while_held():
            now = await cluster_time(self._entries.database)
        seconds = min(now.time, int(time.time()))  # a clock that is wrong by years must not fold everything
        return await self.fold_before(to_board_version(version_at(max(seconds - int(self._seconds), 0), 0)))

    async def fold_before(self, before: int) -> int:
        """A pass that folds what is older than the board version `before`."""
        self._began = time.monotonic()
        removed, broken = 0, 0
        with self._lease.while_held():
            boards = await boards_with_data(self._database, self._entries)
        for board in boards:
            after: str | None = ERASURES  # the records of erasures stay
            while after is not None:
                chains, after = await self._due(board, after, before)
                while chains:
                    done, chains, faults = await self._round(chains, before)
                    removed, broken = removed + done, broken + faults
        if broken:
            log.error("ledger chains with faults are not folded: run `leaderboard audit`", extra={"players": broken})
        if removed:
            log.info("old ledger entries were folded", extra={"entries": removed})
        return removed

    async def _due(self, board: str, after: str, before: int) -> tuple[list[ChainKey], str | None]:
        """The chains of a page of players whose oldest entry is older than `before`; the last player of the page, None
        at the end."""
        players = self._database[collection_of(board)]
        with self._lease.while_held():
            found = players.find({"_id": {"$gt": after}}, {"_id": 1}).sort("_id", 1).limit(PAGE).batch_size(PAGE)
            page = await found.to_list(None)
        last = page[-1]["_id"] if len(page) == PAGE else None
        pipeline = [
            {"$match": {"player": chains_between(board, after, last)}},
            {"$sort": {"player": 1, "n": 1}},
            {"$group": {"_id": "$player", "version": {"$first": "$version"}}},  # DISTINCT_SCAN: one entry of each
        ]
        with self._lease.while_held():
            cursor = await maybe_await(self._entries.aggregate(pipeline))
            try:
                oldest = await cursor.to_list(None)
            finally:
                await maybe_await(cursor.close())
        await self._pace()
        due = [each["_id"] for each in oldest if isinstance(each["version"], int) and each["version"] < before]
        return [chain for member in due if (chain := _chain(member)) is not None], last

    async def _round(self, chains: list[ChainKey], before: int) -> tuple[int, list[ChainKey], int]:
        """Fold the oldest entries of each chain: the number of removed ones, the chains that may have more old ones,
        and the number of those that have a fault."""
        group, further = list[Fold](), list[ChainKey]()
        removed, more, broken = 0, list[ChainKey](), 0
        for start in range(0, len(chains), TOGETHER):
            some = chains[start : start + TOGETHER]
            steps = await asyncio.gather(*(self._read(chain, before) for chain in some), return_exceptions=True)
            for chain, step in zip(some, steps, strict=True):
                if isinstance(step, BrokenChain):
                    broken += 1
                elif isinstance(step, BaseException):
                    raise step
                elif step.fold is not None:
                    group.append(step.fold)
                    further += [chain] if step.further else []
            if group and (start + TOGETHER >= len(chains) or sum([each.removed for each in group]) >= GROUP):
                done = await self._write(group)
                removed += done
                more += further if done else []
                group, further = [], []
            await self._pace()
        return removed, more, broken

    async def _read(self, chain: ChainKey, before: int) -> Step:
        """How the chain's oldest entries are folded: STEP of them, or more if none of those can be a checkpoint.

        Raises BrokenChain.
        """
        step = await self._read_oldest(chain, STEP, before)
        limit = STEP
        while step.fold is None and step.further and limit < FOLD_WINDOW:
            limit = min(limit * WIDER, FOLD_WINDOW)
            step = await self._read_oldest(chain, limit, before)
        if step.fold is None and step.further:
            log.warning(
                "the oldest ledger entries of a player cannot be folded: the service wrote none of them",
                extra={"board": chain[0], "player": chain[1], "entries": limit},
            )
        return step

    async def _read_oldest(self, chain: ChainKey, limit: int, before: int) -> Step:
        found = self._entries.find({"player": chain_id(*chain)}).sort("n", 1).limit(limit).batch_size(STEP + 1)
        with self._lease.while_held():
            documents = await found.to_list(None)
        if not documents:  # erased
            return Step(None, further=False)
        if limit == STEP:
            return _step(documents, limit, before)
        return await asyncio.to_thread(_step, documents, limit, before)  # up to 0.2 s

    async def _write(self, group: Sequence[Fold]) -> int:
        """Store the checkpoints, then remove what they replace; the number of removed entries."""
        marks = [
            UpdateOne(
                {
                    "_id": each.last.write_id,
                    "player": chain_id(*each.last.chain),
                    "n": each.last.n,
                    "hash": each.last.hash,
                },
                {"$set": {"checkpoint": each.prev}},
            )
            for each in group
            if each.prev is not None
        ]
        removals = [
            DeleteMany(
                {
                    "player": chain_id(*each.last.chain),
                    "n": {"$lt": each.last.n},
                    "version": {"$lte": each.last.version},
                }
            )
            for each in group
        ]
        if marks:
            with self._lease.while_held():
                marked = await self._entries.bulk_write(marks, ordered=False)
            if marked.matched_count < len(marks):
                # An erasure, another process, or an entry that cannot be matched: it must not stop the other players.
                return sum([await self._write([each]) for each in group]) if len(group) > 1 else 0
        with self._lease.while_held():
            return int((await self._entries.bulk_write(removals, ordered=False)).deleted_count)

    async def _pace(self) -> None:
        """Pause after some work, so that the database has time for other work."""
        worked = time.monotonic() - self._began
        if worked >= WORK:
            await asyncio.sleep(worked * (1 / SHARE - 1))
            self._began = time.monotonic()
