"""The players in MongoDB: the store of the use cases, on PyMongo Async or Motor."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pymongo
from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from tornado_app.core.errors import DatabaseError, LeaderboardError, PlayerNotFound
from tornado_app.core.model import TOP, Action, Player, Profile, Receipt, Top, standings
from tornado_app.core.policies import Rules
from tornado_app.mongo import documents, marks
from tornado_app.mongo.commit import GroupCommit, Pending
from tornado_app.mongo.documents import BOARD_ORDER, ON_BOARD, OUTCOME, Attempt, Document
from tornado_app.mongo.driver import Client, is_transient, let_go
from tornado_app.mongo.known import Known, State
from tornado_app.mongo.marks import Kind, Mark
from tornado_app.mongo.versions import version
from tornado_app.observability.tracing import Tracing

log = logging.getLogger("leaderboard.store")

DURABLE = WriteConcern(w="majority", j=True)
RETRY_PAUSE = 0.05
"""Seconds after a flush that a transient fault ended."""

DUPLICATE_KEY = 11000
PLAYER_FIELDS = {"score": 1, "updatedAt": 1, "username": 1, "avatarUrl": 1}


def wall_clock() -> int:
    """Now, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class MongoStore:
    """The players of one board in one collection.

    Every accepted action is one single-document update with `$inc`; its filter holds exactly-once, the rate limit and
    the points cap (documents.py), so that no process, replica or crash can come between. Concurrent actions share a
    flush (commit.py).
    """

    def __init__(
        self,
        client: Client,
        database: str,
        *,
        collection: str = "players",
        rules: Rules | None = None,
        timeout: float = 5.0,
        max_waiting: int = 10_000,
        max_batch: int = 512,
        clock: Callable[[], int] = wall_clock,
        observe_batch: Callable[[int], None] = lambda size: None,
        tracing: Tracing | None = None,
    ) -> None:
        self._database = client[database]
        self._collection = collection
        self._players = self._database.get_collection(
            collection, write_concern=DURABLE, read_concern=ReadConcern("majority")
        )
        self._rules = rules or Rules()
        self._outcome = documents.outcome_fields(self._rules)
        self._timeout = timeout
        self._clock = clock
        self._tracing = tracing
        prefix = secrets.token_hex(5) + "."
        self._ops = (f"{prefix}{n:x}" for n in count())
        self.known = Known(self._rules, prefix)
        self._commit = GroupCommit(
            self._flush, timeout=timeout, max_waiting=max_waiting, max_batch=max_batch, observe=observe_batch
        )

    @property
    def rules(self) -> Rules:
        """The rules that each write is held against."""
        return self._rules

    @property
    def waiting(self) -> int:
        """Actions that wait for a flush."""
        return self._commit.waiting

    @property
    def busy(self) -> bool:
        """Whether actions are being written."""
        return self._commit.busy

    @property
    def room(self) -> int:
        """How many actions may wait before one more is refused with Overloaded."""
        return self._commit.room

    # -- writing ----------------------------------------------------------------------------------

    async def apply(self, action: Action) -> Receipt:
        """Apply an action exactly once; see `core.ports.Store.apply` for what it raises."""
        op = next(self._ops)
        answer = self._commit.submit(action, op)
        if self._tracing is not None:
            self._tracing.submission(op, action.face, answer)
        try:
            return await answer
        finally:
            del answer  # it holds the error that is raised, and that this frame

    async def close(self) -> None:
        """Answer all who wait, and take no more."""
        await self._commit.close()

    async def _flush(self, batch: Sequence[Pending], seconds: float) -> Sequence[Pending]:
        if self._tracing is None:
            return await self._write(batch, seconds)
        with self._tracing.commit([pending.op for pending in batch]):
            return await self._write(batch, seconds)

    async def _write(self, batch: Sequence[Pending], seconds: float) -> Sequence[Pending]:
        tries = self._tries(batch)
        attempts = [attempt for _, attempt in tries]
        refused: set[str] = set()
        found: dict[str, Document] = {}
        try:
            with pymongo.timeout(seconds):
                if len(attempts) == 1:
                    made = await self._write_one(attempts[0], found)
                else:
                    made, refused = await self._write_many(attempts, found)
        except PyMongoError as error:
            return await self._failed(batch, error)
        again = [pending for pending, attempt in tries if not self._answer(pending, attempt, found, made)]
        self._learn(found)
        for pending in again:
            if pending.op in refused:
                pending.fail(DatabaseError())
        return [pending for pending in again if pending.op not in refused]

    def _tries(self, batch: Sequence[Pending]) -> list[tuple[Pending, Attempt]]:
        """An attempt for each. What is known of a player is used up by the first; the answers tell it anew."""
        now, tries = self._clock(), []
        for pending in batch:
            known = self.known.take(pending.action.user_id)
            state = None if pending.tried else known
            tries.append((pending, self._attempt(pending, now, state)))
        return tries

    def _attempt(self, pending: Pending, now: int, state: State | None) -> Attempt:
        found = {"absent": pending.absent, "hidden": pending.hidden}
        return Attempt(pending.action, pending.op, now, self._rules, state=state, **found)

    async def _failed(self, batch: Sequence[Pending], error: PyMongoError) -> Sequence[Pending]:
        """The batch, to be tried again after a fault that passes; else raises DatabaseError."""
        if is_transient(error):
            log.warning("a flush of %d is tried again: %s", len(batch), type(error).__name__)
            let_go(error)
            for pending in batch:
                pending.tried = True
            await asyncio.sleep(RETRY_PAUSE)
            return batch
        code = getattr(error, "code", None)  # as when the disk is full
        log.error("the database refused a flush of %d: %s", len(batch), type(error).__name__, extra={"code": code})
        raise DatabaseError(retry_after=1.0) from error

    def _answer(self, pending: Pending, attempt: Attempt, found: dict[str, Document], made: set[str]) -> bool:
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
            pending.absent = document is None
            pending.hidden = document is not None and bool(document.get("hidden"))
            return False
        pending.succeed(receipt)
        return True

    def _applied(self, attempt: Attempt, state: State, document: Document | None) -> Receipt:
        action, rules = attempt.action, self._rules
        after = state.after(action.points, attempt.id_hash, attempt.now, attempt.last, rules)
        self.known.note(action.user_id, after)
        return documents.applied(attempt, after, rules, document)

    def _learn(self, found: dict[str, Document]) -> None:
        """Know the players as they were found."""
        for player, document in found.items():
            with contextlib.suppress(KeyError, TypeError, OverflowError):  # somebody else's doing
                if (state := State.of(document)) is not None:
                    self.known.note(player, state)

    async def _write_one(self, attempt: Attempt, found: dict[str, Document]) -> set[str]:
        """The attempt's op, if it was made on its state; else the player's document is put into `found`."""
        user_id, change = attempt.action.user_id, documents.update(attempt, self._rules)
        document: Document | None = None
        if attempt.state is not None:
            done = await self._players.update_one(documents.selector(attempt, self._rules), change)
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
                )
            except DuplicateKeyError as error:  # an upsert whose filter refused the document that is there
                let_go(error)
        if document is None:
            document = await self._players.find_one({"_id": user_id}, OUTCOME)
        if document is not None:
            found[user_id] = document
        return set()

    async def _write_many(self, attempts: list[Attempt], found: dict[str, Document]) -> tuple[set[str], set[str]]:
        """By op, who was made on its state, and whom the database would not have. All other documents are `found`."""
        rules = self._rules
        refused: set[str] = set()
        relied = [one for one in attempts if one.state is not None]
        writes = [
            UpdateOne(documents.selector(one, rules), documents.update(one, rules), upsert=documents.upsert(one, rules))
            for one in attempts
        ]
        try:
            result = await self._players.bulk_write(writes, ordered=False)
            all_made = result.matched_count + result.upserted_count == len(attempts)
        except BulkWriteError as error:
            refused = {attempts[index].op for index in _refused(error)}
            let_go(error)
            all_made = False
        if not all_made:  # by whose mark is the last
            marked = await self._read({one.action.user_id for one in relied}, documents.MADE)
            relied = [one for one in relied if marked.get(one.action.user_id, {}).get("last") == one.last]
        made = {one.op for one in relied}
        asked = [one for one in attempts if one.op not in made]
        found |= await self._read({one.action.user_id for one in asked}, self._outcome)
        unclear = {
            one.action.user_id
            for one in asked
            if (document := found.get(one.action.user_id)) is not None and documents.reaches_back(document, one, rules)
        }
        found |= await self._read(unclear, OUTCOME)
        return made, refused

    async def _read(self, players: set[str], fields: Document) -> dict[str, Document]:
        if not players:
            return {}
        cursor = self._players.find({"_id": {"$in": list(players)}}, fields)
        return {document["_id"]: document for document in await cursor.to_list(None)}

    async def register(self, user_id: str, profile: Profile) -> tuple[Player, bool]:
        """Create the player or update the profile; the flag tells whether it was created."""
        now = self._clock()
        moment = datetime.fromtimestamp(now / 1000, UTC)
        born: Document = {"score": 0, "updatedAt": moment, "createdAt": moment, "recent": []}
        born["last"] = marks.encode(Mark(Kind.REGISTER, 0, next(self._ops), at=now))
        change: Document = {"$setOnInsert": born}
        if fields := documents.profile_fields(profile):
            change["$set"] = fields
        async with database_errors(self._timeout):
            before = await self._players.find_one_and_update(
                {"_id": user_id},
                change,
                projection=PLAYER_FIELDS,
                upsert=True,
                return_document=ReturnDocument.BEFORE,
            )
        after = {"_id": user_id, **(before or born), **fields}
        return documents.player(after), before is None

    # -- reading ----------------------------------------------------------------------------------

    async def ping(self) -> None:
        """Whether the database answers. Raises DatabaseError."""
        async with database_errors(self._timeout):
            await self._database.command("ping")

    async def player(self, user_id: str) -> Player:
        """One player. Raises PlayerNotFound."""
        async with database_errors(self._timeout):
            document = await self._players.find_one({"_id": user_id, **ON_BOARD}, PLAYER_FIELDS)
        if document is None:
            raise PlayerNotFound
        return documents.player(document)

    async def top(self) -> Top:
        """The head of the board from one majority-committed moment, which is its version."""
        command = {
            "find": self._collection,
            "filter": ON_BOARD,
            "sort": dict(BOARD_ORDER),
            "limit": TOP,
            "projection": PLAYER_FIELDS,
            "readConcern": {"level": "snapshot"},
        }
        async with database_errors(self._timeout):
            reply = await self._database.command(command)
        cursor = reply["cursor"]
        players = [documents.player(document) for document in cursor["firstBatch"]]
        moment = cursor.get("atClusterTime") or reply["operationTime"]  # of a collection that is not there it has none
        return Top(version(moment), standings(players))

    async def around(self, player: Player, limit: int) -> tuple[list[Player], list[Player]]:
        """Up to `limit` players just above and just below, both in board order."""
        async with database_errors(self._timeout):
            above = await self._walk(_beyond(player, ahead=True), limit, backwards=True)
            below = await self._walk(_beyond(player, ahead=False), limit)
        return above[::-1], below

    async def page(self, limit: int, after: Player | None) -> list[Player]:
        """Up to `limit` players in board order, from the one after `after` on."""
        async with database_errors(self._timeout):
            return await self._walk({} if after is None else _beyond(after, ahead=False), limit)

    async def _walk(self, place: Document, limit: int, *, backwards: bool = False) -> list[Player]:
        order = [(field, -direction) for field, direction in BOARD_ORDER] if backwards else BOARD_ORDER
        cursor = self._players.find({**ON_BOARD, **place}, PLAYER_FIELDS).sort(order).limit(limit)
        return [documents.player(document) for document in await cursor.to_list(None)]


@contextlib.asynccontextmanager
async def database_errors(seconds: float) -> AsyncIterator[None]:
    """A bound on what is done inside, and DatabaseError for whatever the driver raises."""
    try:
        with pymongo.timeout(seconds):
            yield
    except PyMongoError as error:
        log.warning("the database did not answer: %s", type(error).__name__)
        raise DatabaseError(retry_after=1.0) from error


def _beyond(player: Player, *, ahead: bool) -> Document:
    """The filter for all who stand before (`ahead`) or after a place on the board."""
    more, less = ("$gt", "$lt") if ahead else ("$lt", "$gt")
    moment = datetime.fromtimestamp(player.updated_at / 1000, UTC)
    return {
        "$or": [
            {"score": {more: player.score}},
            {"score": player.score, "updatedAt": {less: moment}},
            {"score": player.score, "updatedAt": moment, "_id": {less: player.user_id}},
        ]
    }


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
