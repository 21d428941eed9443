"""Profile writes: a player is created, or chooses a name or a picture. Each is one compare-and-set, of the record.

Their limit counts on its own, so that a new name costs no score update; it is decided from the history, as that of
scores is, and so exact over all processes. Profile writes do not share batches with score updates, as they are rare.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Any

import msgspec
from msgspec import UNSET
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from tornado_app.core.boards import MAIN, Board, Rule
from tornado_app.core.decide import PlayerState, rate_limited
from tornado_app.core.errors import DatabaseError, Overloaded
from tornado_app.core.history import HistoryEntry, Kind, WriteKind, encode, rate_limit_state
from tornado_app.core.model import ProfileChange, Registration, utc_datetime
from tornado_app.core.policies import PROFILE_LIMIT, WritePolicy
from tornado_app.mongo.client.cluster_time import reached
from tornado_app.mongo.client.driver import drop_tracebacks, race_pause
from tornado_app.mongo.players import documents
from tornado_app.mongo.players.documents import PLAYER_FIELDS, STATE_FIELDS, Document
from tornado_app.mongo.players.records import PLACEHOLDER, Records, copies, mark, new_state, place

log = logging.getLogger("leaderboard.store")

MAX_UNDER_WAY = 32
"""Maximum concurrent writes; more would take the driver's connections from the score updates."""

TRIES = 20
"""Maximum attempts when other writes come first."""

Given = dict[str, str | None]
"""The members of a change that are not UNSET."""

_FIELDS = {**PLAYER_FIELDS, **STATE_FIELDS}
_STORED = {"username": "ownUsername", "avatar_url": "ownAvatarUrl"}


class ProfileWriter:
    """Creates players in `players`, and writes their profiles to their records (records.py), which are copied to all
    boards.

    `next_write_id` makes write ids; `full`: whether no more work is accepted. A new player has the score 0 on a board
    that adds points, and none on any other.
    """

    def __init__(
        self,
        players: Any,
        records: Records,
        policy: WritePolicy,
        *,
        clock: Callable[[], int],
        next_write_id: Callable[[], str],
        full: Callable[[], bool],
        board: Board = MAIN,
    ) -> None:
        self._players = players
        self._records = records
        self._on_main = board.name == MAIN.name
        self._first_score: Document = {"score": 0} if board.rule is Rule.SUM else {}
        self._retention = policy.history_retention
        self._clock = clock
        self._next_write_id = next_write_id
        self._full = full
        self._under_way = 0

    async def write(self, user_id: str, change: ProfileChange, by: str, session: Any) -> Registration:
        """Create the player or change the profile, in a session that keeps the time (`cluster_time.clocked`).

        Raises RateLimited, Overloaded, DatabaseError, and what the driver raises.
        """
        if self._under_way >= MAX_UNDER_WAY or self._full():
            raise Overloaded(
                retry_after=1.0,
                detail=f"{self._under_way} profile writes (at most {MAX_UNDER_WAY}) or too many updates",
            )
        self._under_way += 1
        try:
            return await self._write(user_id, change, by, session)
        finally:
            self._under_way -= 1

    async def _write(self, user_id: str, change: ProfileChange, by: str, session: Any) -> Registration:
        given = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not UNSET}
        created = False
        for turn in range(TRIES):
            if self._on_main:
                done = await self._write_main(user_id, given, by, session)
            else:
                joined = await self._join(user_id, by, session)
                created |= joined is True
                done = None if joined is None else await self._change_record(user_id, given, by, session)
            if done is not None:
                if done.changed:
                    await self._records.copy(user_id)
                if self._on_main:
                    return done
                document = await self._players.find_one({"_id": user_id}, PLAYER_FIELDS, session=session)
                if document is not None:  # else the player was erased meanwhile
                    return _registration(document, session, created=created, changed=done.changed)
            await asyncio.sleep(race_pause(turn))
        raise DatabaseError(retry_after=1.0, reason="lost_races", detail=f"{TRIES} other writes came between")

    async def _write_main(self, user_id: str, given: Given, by: str, session: Any) -> Registration | None:
        document = await self._players.find_one({"_id": user_id}, _FIELDS, session=session)
        if document is None:
            return await self._create(user_id, given, by, session)
        return await self._change(document, given, by, session, create=self._is_new(documents.state_of(document)))

    def _is_new(self, state: PlayerState) -> bool:
        """Whether a player with a document never was on the board."""
        return not state.seq or (bool(self._first_score) and state.score is None)

    def _created(self, at: int) -> Document:
        """The members of a new player's document."""
        moment = utc_datetime(at)
        return {"updatedAt": moment, "createdAt": moment, **self._first_score}

    async def _create(self, user_id: str, given: Given, by: str, session: Any) -> Registration | None:
        """The new player of `main`; None if another write created it first."""
        entry = self._entry(WriteKind.REGISTER, given, by)
        document: Document = {"_id": user_id, "seq": 1, **self._created(entry.at)}
        document |= {"h": {"1": encode(entry)}, **_stored(given)}
        if given:
            document |= mark(PlayerState(), by=by, reason=entry.reason)
        try:
            await self._players.insert_one(document, session=session)
        except DuplicateKeyError as error:
            drop_tracebacks(error)
            return None
        return _registration(document, session, created=True, changed=given)

    async def _join(self, user_id: str, by: str, session: Any) -> bool | None:
        """Create the player on another board than `main`; whether it did. None if another write came first."""
        document = await self._players.find_one({"_id": user_id}, STATE_FIELDS, session=session)
        if document is None:
            await place(self._players, [user_id], session)
            document = {"_id": user_id}
        state = documents.state_of(document)
        if state.erased:
            return None
        if not self._is_new(state):
            return False
        entry = self._entry(WriteKind.REGISTER, {}, by)
        fields = self._created(entry.at)
        condition = documents.condition(user_id, state)
        if not state.seq:
            record = (await self._records.read([user_id], session)).get(user_id)
            if record is not None and record.get("erased") is True:
                return None
            fields |= copies(record)
            state, condition = new_state(record) or PLACEHOLDER, documents.condition(user_id, PLACEHOLDER)
        entry = msgspec.structs.replace(entry, on_board=not state.hidden)
        change = documents.update(state, [entry], fields=fields)
        return True if (await self._players.update_one(condition, change, session=session)).matched_count else None

    async def _change_record(self, user_id: str, given: Given, by: str, session: Any) -> Registration | None:
        """The player's record with the new profile; None if another write came first. Raises RateLimited."""
        if not given:
            return _registration({"_id": user_id}, session)
        record = await self._records.players.find_one({"_id": user_id}, _FIELDS, session=session)
        if record is None:
            await place(self._records.players, [user_id], session)
            return None
        return await self._change(record, given, by, session, create=False)

    async def _change(
        self, before: Document, given: Given, by: str, session: Any, *, create: bool
    ) -> Registration | None:
        """The player with the new profile, and `create`: new on `main`; None if another write came first.

        Raises RateLimited.
        """
        state = documents.state_of(before)
        given = {name: value for name, value in given.items() if not _has(before, name, value)}
        if not given and not create:
            return _registration(before, session)
        if state.erased:
            return None
        entry = self._entry(WriteKind.REGISTER if create else WriteKind.PROFILE, given, by)
        fields = self._created(entry.at) if create else {}
        if given:
            left = rate_limit_state(state.history.profile_times(), entry.at, PROFILE_LIMIT)
            if not left.remaining:
                raise rate_limited("profile changes", "the limit", left, PROFILE_LIMIT)
            fields |= _stored(given) | mark(state, by=by, reason=entry.reason)
        entry = msgspec.structs.replace(entry, on_board=not (create and state.hidden))
        after = await self._records.players.find_one_and_update(
            documents.condition(before["_id"], state),
            documents.update(state, [entry], expired=state.history.expired(entry.at, self._retention), fields=fields),
            projection=PLAYER_FIELDS,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        if after is None:
            return None
        return _registration(after, session, created=create, changed=given)

    def _entry(self, kind: Kind, given: Given, by: str) -> HistoryEntry:
        return HistoryEntry(
            kind, 0, self._next_write_id(), self._clock(), self._retention, by=by, reason=", ".join(given)
        )


def _registration(
    document: Document, session: Any, *, created: bool = False, changed: Collection[str] = ()
) -> Registration:
    player = documents.player({"score": 0} | document, reached(session))
    return Registration(player, created, tuple(changed), "score" in document)


def _stored(given: Given) -> Document:
    return {_STORED[name]: value for name, value in given.items()}


def _has(document: Document, name: str, value: str | None) -> bool:
    stored = _STORED[name]
    return stored in document and document[stored] == value
