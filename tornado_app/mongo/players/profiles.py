"""Profile writes: a player is created, or chooses a name or a picture. Each is one atomic update with a marker.

The limit is in the update's filter, as that of scores is (documents.py), and so exact over all processes; it counts on
its own, so that a new name costs no score update. Profile writes do not share batches with score updates: they are
rare, and what they have in common with them is the room for both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from tornado_app.core.errors import DatabaseError, LeaderboardError, Overloaded
from tornado_app.core.model import ProfileChange, Registration
from tornado_app.core.policies import PROFILE_LIMIT, WritePolicy
from tornado_app.mongo.client.cluster_time import reached
from tornado_app.mongo.client.driver import drop_tracebacks, race_pause
from tornado_app.mongo.players import documents, write_marker
from tornado_app.mongo.players.cache import rate_limit_state
from tornado_app.mongo.players.documents import PLAYER_FIELDS, Document
from tornado_app.mongo.players.write_marker import Kind, WriteMarker

MAX_UNDER_WAY = 32
"""More would take the driver's connections from the score updates."""

TRIES = 20
"""How often a write is repeated because another one came between."""

Given = dict[str, str | None]
"""The members of a change that are not UNSET."""

_POLICY = WritePolicy(limit=PROFILE_LIMIT)
_FIELDS = {**PLAYER_FIELDS, "profileAt": 1, "last": 1}
_STORED = {"username": "ownUsername", "avatar_url": "ownAvatarUrl"}


class ProfileWriter:
    """Writes profiles to `players`. `next_write_id` makes write ids; `full` tells that no more work is taken."""

    def __init__(
        self, players: Any, *, clock: Callable[[], int], next_write_id: Callable[[], str], full: Callable[[], bool]
    ) -> None:
        self._players = players
        self._clock = clock
        self._next_op = next_write_id
        self._full = full
        self._under_way = 0

    async def write(self, user_id: str, change: ProfileChange, by: str, session: Any) -> Registration:
        """Create the player or change the profile, in a session that keeps the time (`versions.clocked`).

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
        """The new player; None where another write made one meanwhile."""
        now = self._clock()
        moment = datetime.fromtimestamp(now / 1000, UTC)
        born: Document = {"_id": user_id, "score": 0, "updatedAt": moment, "createdAt": moment, "recent": []}
        born |= {"last": self._marker(Kind.REGISTER, given, now, by), "profileAt": [now], **_stored(given)}
        try:
            await self._players.insert_one(born, session=session)
        except DuplicateKeyError as error:
            drop_tracebacks(error)
            return None
        return Registration(documents.player(born, reached(session)), created=True, changed=tuple(given))

    async def _change(self, before: Document, given: Given, by: str, session: Any) -> Registration | None:
        """The player with the new profile; None where another write came between. Raises RateLimited."""
        given = {name: value for name, value in given.items() if not _has(before, name, value)}
        if not given:
            return Registration(documents.player(before, reached(session)), created=False, changed=())
        now = self._clock()
        change = {
            "$set": {"last": self._marker(Kind.PROFILE, given, now, by), **_stored(given)},
            "$push": {"profileAt": {"$each": [now], "$position": 0, "$slice": PROFILE_LIMIT.updates}},
        }
        after = await self._players.find_one_and_update(
            _selector(before["_id"], now),
            change,
            projection=_FIELDS,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        if after is None:
            if refusal := _refusal(before, now):
                raise refusal
            return None
        return Registration(documents.player(after, reached(session)), created=False, changed=tuple(given))

    def _marker(self, kind: Kind, given: Given, now: int, by: str) -> str:
        return write_marker.encode(WriteMarker(kind, 0, self._next_op(), at=now, by=by, reason=", ".join(given)))


def _selector(user_id: str, now: int) -> Document:
    """The filter that lets a change through that may be made."""
    horizon = now - PROFILE_LIMIT.window_ms
    return {
        "_id": user_id,
        **documents.NOT_BEING_ERASED,
        "$nor": [{f"profileAt.{PROFILE_LIMIT.updates - 1}": {"$gt": horizon}}],
    }


def _refusal(document: Document, now: int) -> LeaderboardError | None:
    left = rate_limit_state(document.get("profileAt", ()), now, _POLICY)
    return None if left.remaining else documents.rate_limited("profile changes", "the limit", left, PROFILE_LIMIT)


def _stored(given: Given) -> Document:
    return {_STORED[name]: value for name, value in given.items()}


def _has(document: Document, name: str, value: str | None) -> bool:
    stored = _STORED[name]
    return stored in document and document[stored] == value
