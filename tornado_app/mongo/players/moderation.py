"""Moderation in MongoDB: each action is one atomic update, whose write marker reaches feed and ledger."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
from bson import Int64
from pymongo import ReturnDocument
from pymongo.read_concern import ReadConcern

from tornado_app.core.errors import ActionNotFound, DatabaseError, PlayerNotFound
from tornado_app.core.ledger import AcceptedAction
from tornado_app.core.model import rfc3339
from tornado_app.core.moderation import ModerationRequest, ModerationResult
from tornado_app.mongo.client.cluster_time import cluster_time, cluster_time_to_int, wall_clock
from tornado_app.mongo.client.driver import DURABLE, Client, race_pause
from tornado_app.mongo.client.errors import database_errors
from tornado_app.mongo.players import write_marker
from tornado_app.mongo.players.documents import NOT_BEING_ERASED, Document
from tornado_app.mongo.players.erasure import Eraser
from tornado_app.mongo.players.suspects import Suspects
from tornado_app.mongo.players.write_marker import Kind, WriteMarker, marker_of
from tornado_app.runtime.tasks import jittered

STATE = {"score": 1, "suspended": 1, "hidden": 1, "last": 1}

LEDGER_SECONDS = 5.0
"""How long a take-back waits for the ledger to hold all that the player did."""

PAUSE = 0.05

TRIES = 20
"""How often something is begun again because another write came between; about 3 s with the pauses."""


class Actions(Protocol):
    """The ledger, as moderation reads it."""

    async def has(self, write_id: str) -> bool:
        """Whether the write is in the ledger."""

    def actions(
        self, player: str, *, action_id: str | None = None, since_ms: int | None = None
    ) -> AsyncGenerator[list[AcceptedAction]]:
        """The player's accepted actions that were not taken back, newest first, some at a time."""

    async def export(self, player: str) -> list[dict[str, Any]]:
        """All entries of a player."""


class MongoModeration:
    """Moderation of the players in one collection. Times are in seconds, the clock in milliseconds."""

    def __init__(
        self,
        client: Client,
        database: str,
        ledger: Actions,
        *,
        collection: str = "players",
        timeout: float = 5.0,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        self._players = client[database].get_collection(
            collection, write_concern=DURABLE, read_concern=ReadConcern("majority")
        )
        self._ledger = ledger
        self._suspects = Suspects(client[database])
        self.eraser = Eraser(self._players, self._suspects)
        self._timeout = timeout
        self._clock = clock

    async def suspend(self, case: ModerationRequest) -> ModerationResult:
        """The player can't score until reinstated."""
        marker = self._marker(Kind.SUSPEND, case)
        return await self._change(case, "suspended", value=True, update=_set(marker, suspended=True))

    async def reinstate(self, case: ModerationRequest) -> ModerationResult:
        """The player can score again."""
        marker = self._marker(Kind.REINSTATE, case)
        return await self._change(case, "suspended", value=False, update={**_set(marker), "$unset": {"suspended": ""}})

    async def hide(self, case: ModerationRequest) -> ModerationResult:
        """The player is off the board and unranked, and can score on."""
        last = write_marker.with_score(self._marker(Kind.HIDE, case))
        return await self._change(case, "hidden", value=True, update=[{"$set": {"hidden": True, "last": last}}])

    async def show(self, case: ModerationRequest) -> ModerationResult:
        """The player is on the board again."""
        last = write_marker.with_score(self._marker(Kind.SHOW, case))
        return await self._change(case, "hidden", value=False, update=[{"$set": {"last": last}}, {"$unset": "hidden"}])

    async def take_back(self, case: ModerationRequest, *, action_id: str | None, since: int | None) -> ModerationResult:
        """Take back actions: the points go, the ledger keeps both. Raises ActionNotFound.

        Which actions there are is the ledger's word, so it must hold the player's last write; the update applies only
        while that is still the last one. Many actions are taken back in parts, each by an update of its own; where it
        breaks off, what was taken back stays so, and the same request goes on from there.
        """
        taken: ModerationResult | None = None
        lost = 0
        while lost < TRIES:
            before = await self._settled_state(case.user_id)
            async with aclosing(self._ledger.actions(case.user_id, action_id=action_id, since_ms=since)) as pages:
                part, complete = await self._take_all(case, before, pages)
            taken = _sum(taken, part)
            if complete:
                if taken is None:
                    raise ActionNotFound
                return taken
            lost = lost + 1 if part is None else 0
        raise DatabaseError(retry_after=1.0)

    async def _take_all(
        self, case: ModerationRequest, before: Document, pages: AsyncIterator[list[AcceptedAction]]
    ) -> tuple[ModerationResult | None, bool]:
        """What was taken back, and whether that is all: not where another write came between."""
        taken: ModerationResult | None = None
        async for page in pages:
            if not page:
                continue
            part = await self._take(case, before, page)
            if part is None:
                return taken, False
            last, moderated = part
            before = {**before, "last": last}
            taken = _sum(taken, moderated)
        return taken, True

    async def _settled_state(self, user_id: str) -> Document:
        """The state once the ledger holds the last write. One without a marker of the service is returned as it is."""
        deadline = asyncio.get_running_loop().time() + LEDGER_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            state = await self._state(user_id)
            marker = marker_of(state.get("last"))
            if marker is None or await self._ledger.has(marker.write_id):
                return state
            await asyncio.sleep(jittered(PAUSE, 0.5, 1.5))
        raise DatabaseError("The ledger is not up to date yet. Try again in a moment.", retry_after=5.0)

    async def _take(
        self, case: ModerationRequest, before: Document, found: list[AcceptedAction]
    ) -> tuple[str, ModerationResult] | None:
        """The marker after these actions were taken back, and how the player stands; None where `before` is no more."""
        points = sum(action.points for action in found)
        takes_back = [action.write_id for action in found]
        marker = msgspec.structs.replace(
            self._marker(Kind.TAKE_BACK, case), points=-points, on_board=not before.get("hidden"), takes_back=takes_back
        )
        last = write_marker.encode(marker)
        async with database_errors(self._timeout):
            document = await self._players.find_one_and_update(
                {"_id": case.user_id, "last": before.get("last")},
                {"$inc": {"score": -points}, "$set": {"last": last, "recent.$[taken].p": 0}},
                projection=STATE,
                return_document=ReturnDocument.AFTER,
                array_filters=[{"taken.o": {"$in": takes_back}}],
            )
        return None if document is None else (last, _moderated(document, points=points, actions=len(found)))

    async def erase(self, case: ModerationRequest) -> None:
        """Forget the player: off the board first, so that ranks know the score that leaves, then gone."""
        async with database_errors(self._timeout):
            found = await self.eraser.erase(case.user_id, self._marker(Kind.ERASE, case))
        if not found:
            raise PlayerNotFound

    async def export(self, user_id: str) -> dict[str, Any]:
        """All that is stored of the player, in JSON's types."""
        async with database_errors(self._timeout):
            document = await self._players.find_one({"_id": user_id})
            rules_broken = await self._suspects.of(user_id)
        if document is None:
            raise PlayerNotFound
        entries = await self._ledger.export(user_id)
        return {"player": _plain(document), "ledger": _plain(entries), "rules_broken": _plain(rules_broken)}

    async def _state(self, user_id: str) -> Document:
        async with database_errors(self._timeout):
            document = await self._players.find_one({"_id": user_id, **NOT_BEING_ERASED}, STATE)
        if document is None:
            raise PlayerNotFound
        return document

    async def version(self) -> int:
        """The database's time, which is no earlier than that of any write that it has answered."""
        async with database_errors(self._timeout):
            return cluster_time_to_int(await cluster_time(self._players.database))

    async def _change(self, case: ModerationRequest, name: str, *, value: bool, update: Any) -> ModerationResult:
        """Apply `update`, which sets the member `name` to `value`, unless the player has that already.

        A player that appeared or was changed between the two looks has it neither way: that is looked at again.
        """
        wanted = {"_id": case.user_id, name: {"$ne": True} if value else True, **NOT_BEING_ERASED}
        for lost in range(TRIES):
            async with database_errors(self._timeout):
                document = await self._players.find_one_and_update(
                    wanted, update, projection=STATE, return_document=ReturnDocument.AFTER
                )
            if document is not None:
                return _moderated(document)
            there = await self._state(case.user_id)
            if bool(there.get(name)) is value:
                return msgspec.structs.replace(_moderated(there), changed=False)
            await asyncio.sleep(race_pause(lost))
        raise DatabaseError(retry_after=1.0)

    def _marker(self, kind: Kind, case: ModerationRequest) -> WriteMarker:
        write_id = f"{kind}.{secrets.token_hex(8)}"
        return WriteMarker(kind, 0, write_id, at=self._clock(), by=case.by, reason=case.reason)


def _set(marker: WriteMarker, **fields: Any) -> Document:
    return {"$set": {**fields, "last": write_marker.encode(marker)}}


def _sum(before: ModerationResult | None, part: ModerationResult | None) -> ModerationResult | None:
    """How the player stands after the last part, with the sums of all parts; None where there was none."""
    if before is None or part is None:
        return part or before
    return msgspec.structs.replace(part, points=before.points + part.points, actions=before.actions + part.actions)


def _moderated(document: Document, *, points: int = 0, actions: int = 0) -> ModerationResult:
    return ModerationResult(
        user_id=document["_id"],
        score=int(document["score"]),
        suspended=bool(document.get("suspended")),
        hidden=bool(document.get("hidden")),
        changed=True,
        points=points,
        actions=actions,
    )


def _plain(value: Any) -> Any:
    """BSON's types as JSON's: times as RFC 3339, bytes in hexadecimal, an Int64 as the int that encoders take."""
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Int64):
        return int(value)
    if isinstance(value, datetime):
        return rfc3339(round(value.replace(tzinfo=value.tzinfo or UTC).timestamp() * 1000))
    return value
