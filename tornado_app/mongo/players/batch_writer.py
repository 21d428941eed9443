"""A flush: the updates of a batch are made in one go, and each submission gets its own answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

import pymongo
from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError

from tornado_app.core.errors import DatabaseError, LeaderboardError
from tornado_app.core.model import Receipt
from tornado_app.core.policies import WritePolicy
from tornado_app.mongo.client.cluster_time import clocked, reached
from tornado_app.mongo.client.driver import DUPLICATE_KEY, drop_tracebacks, is_transient
from tornado_app.mongo.players import documents
from tornado_app.mongo.players.cache import CachedPlayer, PlayerCache
from tornado_app.mongo.players.documents import RECEIPT_FIELDS, Document, WriteAttempt
from tornado_app.mongo.players.group_commit import PendingWrite
from tornado_app.runtime.tasks import jittered

log = logging.getLogger("leaderboard.store")

RETRY_PAUSE = 0.05
"""Seconds, before jitter, after a flush that a transient fault ended."""


class BatchWriter:
    """Writes to `players`. Whom it has just written of is `known`, and need not be read back."""

    def __init__(self, players: Any, policy: WritePolicy, cache: PlayerCache, clock: Callable[[], int]) -> None:
        self._players = players
        self._policy = policy
        self._receipt_fields = documents.receipt_fields(policy)
        self._cache = cache
        self._clock = clock

    async def __call__(self, batch: Sequence[PendingWrite], seconds: float) -> Sequence[PendingWrite]:
        """As `commit.Flush`."""
        tries = self._attempts(batch)
        attempts = [attempt for _, attempt in tries]
        refused: set[str] = set()
        found: dict[str, Document] = {}
        try:
            with pymongo.timeout(seconds):
                async with clocked(self._players) as session:
                    if len(attempts) == 1:
                        applied = await self._write_one(attempts[0], found, session)
                    else:
                        applied, refused = await self._write_many(attempts, found, session)
                    moment = reached(session)
        except PyMongoError as error:
            return await self._failed(batch, error)
        for attempt in attempts:
            attempt.version = moment
        again = [pending for pending, attempt in tries if not self._answer(pending, attempt, found, applied)]
        self._learn(found)
        for pending in again:
            if pending.write_id in refused:
                pending.fail(DatabaseError())
        return [pending for pending in again if pending.write_id not in refused]

    def _attempts(self, batch: Sequence[PendingWrite]) -> list[tuple[PendingWrite, WriteAttempt]]:
        """An attempt for each. What is known of a player is used up by the first; the answers tell it anew."""
        now, tries = self._clock(), []
        for pending in batch:
            known = self._cache.pop(pending.action.user_id)
            state = None if pending.tried else known
            found = {"absent": pending.absent, "hidden": pending.hidden}
            tries.append(
                (pending, WriteAttempt(pending.action, pending.write_id, now, self._policy, state=state, **found))
            )
        return tries

    async def _failed(self, batch: Sequence[PendingWrite], error: PyMongoError) -> Sequence[PendingWrite]:
        """The batch, to be tried again after a fault that passes; else raises DatabaseError."""
        if is_transient(error):
            log.warning("a flush of %d is tried again: %s", len(batch), type(error).__name__)
            drop_tracebacks(error)
            for pending in batch:
                pending.tried = True
            await asyncio.sleep(jittered(RETRY_PAUSE, 0.5, 1.5))
            return batch
        code = getattr(error, "code", None)  # as when the disk is full
        log.error("the database refused a flush of %d: %s", len(batch), type(error).__name__, extra={"code": code})
        raise DatabaseError(retry_after=1.0) from error

    def _answer(
        self, pending: PendingWrite, attempt: WriteAttempt, found: dict[str, Document], applied: set[str]
    ) -> bool:
        """Whether the submission is answered. `applied`: the ops of those whose state was right."""
        document = found.get(attempt.action.user_id)
        try:
            if attempt.state is not None and attempt.write_id in applied:
                pending.succeed(self._applied(attempt, attempt.state, document))
                return True
            receipt = documents.receipt(document, attempt, self._policy)
        except LeaderboardError as refusal:
            pending.fail(refusal)
            return True
        except (KeyError, TypeError):  # a document that somebody else wrote must not fail the rest of the batch
            log.exception("the document of a player is not as it should be")
            pending.fail(DatabaseError())
            return True
        if receipt is None:
            pending.tried = True
            pending.lost_races += 1
            pending.absent = document is None
            pending.hidden = document is not None and bool(document.get("hidden"))
            return False
        pending.succeed(receipt)
        return True

    def _applied(self, attempt: WriteAttempt, state: CachedPlayer, document: Document | None) -> Receipt:
        action, policy = attempt.action, self._policy
        after = state.apply(action.points, attempt.id_hash, attempt.now, attempt.last, policy)
        self._cache.put(action.user_id, after)
        return documents.applied(attempt, after, policy, document)

    def _learn(self, found: dict[str, Document]) -> None:
        """Know the players as they were found."""
        for player, document in found.items():
            with contextlib.suppress(KeyError, TypeError, OverflowError):  # somebody else's doing
                if (state := CachedPlayer.of(document)) is not None:
                    self._cache.put(player, state)

    async def _write_one(self, attempt: WriteAttempt, found: dict[str, Document], session: Any) -> set[str]:
        """The attempt's write_id, if it was made on its state; else the player's document is put into `found`."""
        user_id, change = attempt.action.user_id, documents.update(attempt, self._policy)
        document: Document | None = None
        if attempt.state is not None:
            done = await self._players.update_one(documents.selector(attempt, self._policy), change, session=session)
            if done.matched_count:
                return {attempt.write_id}
        else:
            try:
                document = await self._players.find_one_and_update(
                    documents.selector(attempt, self._policy),
                    change,
                    projection=self._receipt_fields,
                    upsert=documents.upsert(attempt, self._policy),
                    return_document=ReturnDocument.AFTER,
                    session=session,
                )
            except DuplicateKeyError as error:  # an upsert whose filter refused the document that is there
                drop_tracebacks(error)
        if document is None:
            document = await self._players.find_one({"_id": user_id}, RECEIPT_FIELDS, session=session)
        if document is not None:
            found[user_id] = document
        return set()

    async def _write_many(
        self, attempts: list[WriteAttempt], found: dict[str, Document], session: Any
    ) -> tuple[set[str], set[str]]:
        """Write ids of the attempts that were applied to their cached state, and of those that the database refused.

        The documents of all others are put into `found`.
        """
        policy = self._policy
        refused: set[str] = set()
        relied = [one for one in attempts if one.state is not None]
        writes = [
            UpdateOne(
                documents.selector(one, policy), documents.update(one, policy), upsert=documents.upsert(one, policy)
            )
            for one in attempts
        ]
        try:
            result = await self._players.bulk_write(writes, ordered=False, session=session)
            all_applied = result.matched_count + result.upserted_count == len(attempts)
        except BulkWriteError as error:
            refused = {attempts[index].write_id for index in _refused(error)}
            drop_tracebacks(error)
            all_applied = False
        if not all_applied:  # by whose marker is the last
            marked = await self._read({one.action.user_id for one in relied}, documents.MARKER_FIELDS, session)
            relied = [one for one in relied if marked.get(one.action.user_id, {}).get("last") == one.last]
        applied = {one.write_id for one in relied}
        asked = [one for one in attempts if one.write_id not in applied]
        found |= await self._read({one.action.user_id for one in asked}, self._receipt_fields, session)
        unclear = {
            one.action.user_id
            for one in asked
            if (document := found.get(one.action.user_id)) is not None
            and documents.needs_full_history(document, one, policy)
        }
        found |= await self._read(unclear, RECEIPT_FIELDS, session)
        return applied, refused

    async def _read(self, players: set[str], fields: Document, session: Any) -> dict[str, Document]:
        if not players:
            return {}
        cursor = self._players.find({"_id": {"$in": list(players)}}, fields, session=session)
        return {document["_id"]: document for document in await cursor.to_list(None)}


def _refused(error: BulkWriteError) -> set[int]:
    """Which updates of a batch the database refused, by their places. Raises what concerns the whole batch.

    A refused upsert is a duplicate key, which is all in a day's work and shows in the read that follows. Any other
    error is of that update alone (a document that somebody else wrote or has policy for, one that has grown too large):
    all others have their own answers.
    """
    details: Any = error.details
    if details.get("writeConcernErrors"):
        raise error
    odd = {each["index"]: each["code"] for each in details.get("writeErrors", ()) if each["code"] != DUPLICATE_KEY}
    if odd:
        log.error("some score updates were refused by the database", extra={"codes": sorted(set(odd.values()))})
    return set(odd)
