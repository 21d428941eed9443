"""Profile writes: a player is created, or chooses a name or a picture. Each is one compare-and-set.

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
from tornado_app.core.decide import rate_limited
from tornado_app.core.errors import DatabaseError, Overloaded
from tornado_app.core.history import HistoryEntry, Kind, WriteKind, encode, rate_limit_state
from tornado_app.core.model import ProfileChange, Registration, utc_datetime
from tornado_app.core.policies import PROFILE_LIMIT, WritePolicy
from tornado_app.mongo.client.cluster_time import reached
from tornado_app.mongo.client.driver import drop_tracebacks, race_pause
from tornado_app.mongo.players import documents
from tornado_app.mongo.players.documents import PLAYER_FIELDS, STATE_FIELDS, Document

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
    """Writes profiles to `players`. `next_write_id` makes write ids; `full`: whether no more work is accepted.

    A new player has the score 0 on a board that adds points, and none on any other.
    """

    def __init__(
        self,
        players: Any,
        policy: WritePolicy,
        *,
        clock: Callable[[], int],
        next_write_id: Callable[[], str],
        full: Callable[[], bool],
        board: Board = MAIN,
    ) -> None:
        self._players = players
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
        for turn in range(TRIES):
            document = await self._players.find_one({"_id": user_id}, _FIELDS, session=session)
            if document is None:
                done = await self._create(user_id, given, by, session)
            else:
                done = await self._change(document, given, by, session)
            if done is not None:
                return done
            await asyncio.sleep(race_pause(turn))
        raise DatabaseError(retry_after=1.0, reason="lost_races", detail=f"{TRIES} other writes came between")

    async def _create(self, user_id: str, given: Given, by: str, session: Any) -> Registration | None:
        """The new player; None if another write created it first."""
        entry = self._entry(WriteKind.REGISTER, given, by)
        moment = utc_datetime(entry.at)
        document: Document = {"_id": user_id, "seq": 1, "updatedAt": moment, "createdAt": moment, **self._first_score}
        document |= {"h": {"1": encode(entry)}, **_stored(given)}
        try:
            await self._players.insert_one(document, session=session)
        except DuplicateKeyError as error:
            drop_tracebacks(error)
            return None
        return _registration(document, session, created=True, changed=given)

    async def _change(self, before: Document, given: Given, by: str, session: Any) -> Registration | None:
        """The player with the new profile; None if another write came first. Raises RateLimited."""
        state = documents.state_of(before)
        given = {name: value for name, value in given.items() if not _has(before, name, value)}
        if not given:
            return _registration(before, session)
        if state.erased:
            return None
        entry = self._entry(WriteKind.PROFILE, given, by)
        left = rate_limit_state(state.history.profile_times(), entry.at, PROFILE_LIMIT)
        if not left.remaining:
            raise rate_limited("profile changes", "the limit", left, PROFILE_LIMIT)
        after = await self._players.find_one_and_update(
            documents.condition(before["_id"], state),
            documents.update(
                state, [entry], expired=state.history.expired(entry.at, self._retention), fields=_stored(given)
            ),
            projection=PLAYER_FIELDS,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        if after is None:
            return None
        return _registration(after, session, changed=given)

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
