"""What was done to a player's score, from the ledger: for the player, and for moderators."""

from __future__ import annotations

from typing import Annotated, Protocol

import msgspec

from tornado_app.api.authentication import Authenticator
from tornado_app.api.rest.params import int_query_param, path_user_id
from tornado_app.api.schema.fields import Score, Time
from tornado_app.core.errors import PlayerNotFound
from tornado_app.core.ledger import Entry, EntryKind
from tornado_app.core.model import Scope, rfc3339
from tornado_app.core.validation import require
from tornado_app.http.conditional import PRIVATE, json_response
from tornado_app.http.messages import Request, Response, Route

LIMIT, MAX_LIMIT = 50, 200
MAX_NUMBER = 2**31 - 1

_BY_PLAYERS = (EntryKind.ACTION, EntryKind.REGISTER, EntryKind.PROFILE)
"""By the player or a game server; all else is a moderator's."""

_EARLIER = "The `before` of the next, older page; null where the first entry was reached."
_BY = "Who caused it. A player is not told which moderator."
_TAKEN = "Of a take-back: the `write_id`s that no longer count."


class HistoryEntry(msgspec.Struct):
    """One entry of a player's ledger."""

    n: Annotated[int, msgspec.Meta(ge=1, description="The player's first is 1.", examples=[7])]
    write_id: Annotated[str, msgspec.Meta(description="Names this write.", examples=["5bbc7d4d06.1"])]
    kind: EntryKind
    points: Annotated[int, msgspec.Meta(description="What it added to the score.", examples=[5])]
    score: Score
    at: Time
    action_id: Annotated[str | None, msgspec.Meta(examples=["a-1"])]
    action_type: Annotated[str | None, msgspec.Meta(examples=["level_complete"])]
    frontend: Annotated[str | None, msgspec.Meta(examples=["C"])]
    by: Annotated[str | None, msgspec.Meta(description=_BY, examples=["alice"])]
    reason: Annotated[
        str | None,
        msgspec.Meta(description="Of a moderation: why. Of a profile change: its members.", examples=["speed hack"]),
    ]
    takes_back: Annotated[list[str], msgspec.Meta(description=_TAKEN)]
    hash: Annotated[str, msgspec.Meta(description="SHA-256 over the entry and the hash before it.", examples=["3a56"])]


class HistoryPage(msgspec.Struct):
    """A player's entries, newest first. An update shows up within a second or so."""

    entries: list[HistoryEntry]
    next: Annotated[int | None, msgspec.Meta(description=_EARLIER, examples=[7])]


class LedgerReader(Protocol):
    """The ledger. Both raise DatabaseError."""

    async def history(self, player: str, limit: int, before_n: int | None) -> list[Entry]:
        """Up to `limit` entries, newest first, from the one before number `before_n` on."""

    async def knows(self, player: str) -> bool:
        """Whether there is such a player, on the board or not."""


class HistoryEndpoints:
    """The endpoint `/api/v1/players/{user_id}/history`."""

    def __init__(self, ledger: LedgerReader, authenticator: Authenticator) -> None:
        self._ledger = ledger
        self._authenticator = authenticator

    def routes(self) -> list[Route]:
        """Paths, and what answers on them."""
        return [Route("/api/v1/players/{user_id}/history", {"GET": self.get}, frozenset({"limit", "before"}))]

    async def get(self, request: Request) -> Response:
        """One page, for the player and for moderators."""
        caller = await self._authenticator.authenticate(request)
        moderates = Scope.ADMIN in caller.scopes
        user_id = path_user_id(request)
        if caller.user_id != user_id:
            require(caller, Scope.ADMIN)
        limit = int_query_param(request, "limit", LIMIT, MAX_LIMIT)
        before = int_query_param(request, "before", None, MAX_NUMBER)
        found = await self._ledger.history(user_id, limit, before)
        if not found and not await self._ledger.knows(user_id):
            raise PlayerNotFound
        entries = [_shown(entry, moderates=moderates) for entry in found]
        page = HistoryPage(entries, found[-1].n if len(found) == limit and found[-1].n > 1 else None)
        return json_response(request, msgspec.json.encode(page), PRIVATE, ("Vary", "Authorization"))


def _shown(entry: Entry, *, moderates: bool) -> HistoryEntry:
    return HistoryEntry(
        n=entry.n,
        write_id=entry.write_id,
        kind=entry.kind,
        points=entry.points,
        score=entry.score,
        at=rfc3339(entry.at),
        action_id=entry.id,
        action_type=entry.type,
        frontend=entry.frontend or None,
        by=(entry.by or None) if moderates or entry.kind in _BY_PLAYERS else None,
        reason=entry.reason or None,
        takes_back=list(entry.takes_back),
        hash=entry.hash.hex(),
    )
