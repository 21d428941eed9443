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
from tornado_app.core.policies import Rules
from tornado_app.mongo.client.cluster_time import clocked, reached
from tornado_app.mongo.client.driver import DUPLICATE_KEY, drop_tracebacks, is_transient
from tornado_app.mongo.players import documents
from tornado_app.mongo.players.cache import Known, State
from tornado_app.mongo.players.documents import OUTCOME, Document, WriteAttempt
from tornado_app.mongo.players.group_commit import PendingWrite
from tornado_app.runtime.tasks import jittered

log = logging.getLogger("leaderboard.store")

RETRY_PAUSE = 0.05
"""Seconds, before jitter, after a flush that a transient fault ended."""


class BatchWriter:
    """Writes to `players`. Whom it has just written of is `known`, and need not be read back."""

    def __init__(self, players: Any, rules: Rules, known: Known, clock: Callable[[], int]) -> None:
        self._players = players
        self._rules = rules
        self._outcome = documents.outcome_fields(rules)
        self._known = known
        self._clock = clock

    async def __call__(self, batch: Sequence[PendingWrite], seconds: float) -> Sequence[PendingWrite]:
        """As `commit.Flush`."""
        tries = self._tries(batch)
        attempts = [attempt for _, attempt in tries]
        refused: set[str] = set()
        found: dict[str, Document] = {}
        try:
            with pymongo.timeout(seconds):
                async with clocked(self._players) as session:
                    if len(attempts) == 1:
                        made = await self._write_one(attempts[0], found, session)
                    else:
                        made, refused = await self._write_many(attempts, found, session)
                    moment = reached(session)
        except PyMongoError as error:
            return await self._failed(batch, error)
        for attempt in attempts:
            attempt.version = moment
        again = [pending for pending, attempt in tries if not self._answer(pending, attempt, found, made)]
        self._learn(found)
        for pending in again:
            if pending.op in refused:
                pending.fail(DatabaseError())
        return [pending for pending in again if pending.op not in refused]

    def _tries(self, batch: Sequence[PendingWrite]) -> list[tuple[PendingWrite, WriteAttempt]]:
        """An attempt for each. What is known of a player is used up by the first; the answers tell it anew."""
        now, tries = self._clock(), []
        for pending in batch:
            known = self._known.take(pending.action.user_id)
            state = None if pending.tried else known
            found = {"absent": pending.absent, "hidden": pending.hidden}
            tries.append((pending, WriteAttempt(pending.action, pending.op, now, self._rules, state=state, **found)))
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

    def _answer(self, pending: PendingWrite, attempt: WriteAttempt, found: dict[str, Document], made: set[str]) -> bool:
        """Whether the submission is answered. `made`: the ops of those whose state was right."""
        document = found.get(attempt.action.user_id)
        try:
            if attempt.state is not None and attempt.op in made:
                pending.succeed(self._applied(attempt, attempt.state, document))
                return True
            receipt = documents.receipt(document, attempt, self._rules)
        except LeaderboardError as refusal:
            pending.fail(refusal)
            return True
        except (KeyError, TypeError):  # a document that somebody else wrote must not fail the rest of the batch
            log.exception("the document of a player is not as it should be")
            pending.fail(DatabaseError())
            return True
        if receipt is None:
            pending.tried = True
            pending.lost += 1
            pending.absent = document is None
            pending.hidden = document is not None and bool(document.get("hidden"))
            return False
        pending.succeed(receipt)
        return True

    def _applied(self, attempt: WriteAttempt, state: State, document: Document | None) -> Receipt:
        action, rules = attempt.action, self._rules
        after = state.after(action.points, attempt.id_hash, attempt.now, attempt.last, rules)
        self._known.note(action.user_id, after)
        return documents.applied(attempt, after, rules, document)

    def _learn(self, found: dict[str, Document]) -> None:
        """Know the players as they were found."""
        for player, document in found.items():
            with contextlib.suppress(KeyError, TypeError, OverflowError):  # somebody else's doing
                if (state := State.of(document)) is not None:
                    self._known.note(player, state)

    async def _write_one(self, attempt: WriteAttempt, found: dict[str, Document], session: Any) -> set[str]:
        """The attempt's op, if it was made on its state; else the player's document is put into `found`."""
        user_id, change = attempt.action.user_id, documents.update(attempt, self._rules)
        document: Document | None = None
        if attempt.state is not None:
            done = await self._players.update_one(documents.selector(attempt, self._rules), change, session=session)
            if done.matched_count:
                return {attempt.op}
        else:
            try:
                document = await self._players.find_one_and_update(
                    documents.selector(attempt, self._rules),
                    change,
                    projection=self._outcome,
                    upsert=documents.upsert(attempt, self._rules),
                    return_document=ReturnDocument.AFTER,
                    session=session,
                )
            except DuplicateKeyError as error:  # an upsert whose filter refused the document that is there
                drop_tracebacks(error)
        if document is None:
            document = await self._players.find_one({"_id": user_id}, OUTCOME, session=session)
        if document is not None:
            found[user_id] = document
        return set()

    async def _write_many(
        self, attempts: list[WriteAttempt], found: dict[str, Document], session: Any
    ) -> tuple[set[str], set[str]]:
        """By op, who was made on its state, and whom the database would not have. All other documents are `found`."""
        rules = self._rules
        refused: set[str] = set()
        relied = [one for one in attempts if one.state is not None]
        writes = [
            UpdateOne(documents.selector(one, rules), documents.update(one, rules), upsert=documents.upsert(one, rules))
            for one in attempts
        ]
        try:
            result = await self._players.bulk_write(writes, ordered=False, session=session)
            all_made = result.matched_count + result.upserted_count == len(attempts)
        except BulkWriteError as error:
            refused = {attempts[index].op for index in _refused(error)}
            drop_tracebacks(error)
            all_made = False
        if not all_made:  # by whose mark is the last
            marked = await self._read({one.action.user_id for one in relied}, documents.MADE, session)
            relied = [one for one in relied if marked.get(one.action.user_id, {}).get("last") == one.last]
        made = {one.op for one in relied}
        asked = [one for one in attempts if one.op not in made]
        found |= await self._read({one.action.user_id for one in asked}, self._outcome, session)
        unclear = {
            one.action.user_id
            for one in asked
            if (document := found.get(one.action.user_id)) is not None and documents.reaches_back(document, one, rules)
        }
        found |= await self._read(unclear, OUTCOME, session)
        return made, refused

    async def _read(self, players: set[str], fields: Document, session: Any) -> dict[str, Document]:
        if not players:
            return {}
        cursor = self._players.find({"_id": {"$in": list(players)}}, fields, session=session)
        return {document["_id"]: document for document in await cursor.to_list(None)}


def _refused(error: BulkWriteError) -> set[int]:
    """Which updates of a batch the database refused, by their places. Raises what concerns the whole batch.

    A refused upsert is a duplicate key, which is all in a day's work and shows in the read that follows. Any other
    error is of that update alone (a document that somebody else wrote or has rules for, one that has grown too large):
    all others have their own answers.
    """
    details: Any = error.details
    if details.get("writeConcernErrors"):
        raise error
    odd = {each["index"]: each["code"] for each in details.get("writeErrors", ()) if each["code"] != DUPLICATE_KEY}
    if odd:
        log.error("some score updates were refused by the database", extra={"codes": sorted(set(odd.values()))})
    return set(odd)
