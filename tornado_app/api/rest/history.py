"""A player's ledger entries, for the player and for moderators."""

from __future__ import annotations

from typing import Annotated, Protocol

import msgspec

from tornado_app.api.authentication import Authenticator
from tornado_app.api.rest.operations import (
    ANY,
    CREDENTIALS,
    PLAYER_OR_MODERATOR,
    Operation,
    Parameter,
    cached,
    handles,
    routes_of,
)
from tornado_app.api.rest.params import IF_NONE_MATCH, USER_ID, int_query_param, path_user_id
from tornado_app.api.rest.players import TAG
from tornado_app.api.schema import TIME, Score, Time
from tornado_app.core.errors import DatabaseError, InsufficientScope, PlayerNotFound
from tornado_app.core.ledger import Entry, EntryKind
from tornado_app.core.model import Scope, rfc3339
from tornado_app.core.validation import require
from tornado_app.http.conditional import PRIVATE, json_response
from tornado_app.http.messages import Request, Response, Route

LIMIT, MAX_LIMIT = 50, 200
MAX_NUMBER = 2**31 - 1

_BY_PLAYERS = (EntryKind.ACTION, EntryKind.REGISTER, EntryKind.PROFILE)
"""Entries of the player or a game server; all others are of moderators."""

_EARLIER = "Value of `before` for the next page, of older entries; null on the last page."
_BY = "User id of the caller; null for a moderator if the caller of this request is the player."
_FOLDED = (
    "Number of older entries that were folded into this one after `ledger_retention`: their points are `score` minus "
    "`points`, and this is the oldest entry. 0 for all others."
)
_ADDED = "Points added to the score: the score after the entry minus the one before, negative if it fell."
_SUBMITTED = "The submitted score, on a board of the rule best or last."
_EPOCHS = "The epoch of each period that the action counts in, by the name of the period."
_TAKEN = "The `write_id` of each action that was taken back."


class HistoryEntry(msgspec.Struct):
    """One entry of a player's ledger."""

    n: Annotated[int, msgspec.Meta(ge=1, description="Number of the entry; the player's first is 1.")]
    write_id: Annotated[str, msgspec.Meta(description="Id of the write.")]
    kind: EntryKind
    points: Annotated[int, msgspec.Meta(description=_ADDED)]
    submitted: Annotated[int | None, msgspec.Meta(description=_SUBMITTED)]
    epochs: Annotated[dict[str, int], msgspec.Meta(description=_EPOCHS)]
    score: Score
    at: Time
    action_id: str | None
    action_type: str | None
    frontend: Annotated[str | None, msgspec.Meta(description="The API that the action came through.")]
    by: Annotated[str | None, msgspec.Meta(description=_BY)]
    reason: Annotated[
        str | None, msgspec.Meta(description="The moderator's reason; for a profile change, the changed fields.")
    ]
    takes_back: Annotated[list[str], msgspec.Meta(description=_TAKEN)]
    hash: Annotated[str, msgspec.Meta(description="SHA-256 of this entry and the previous hash.")]
    folded_entries: Annotated[int, msgspec.Meta(ge=0, description=_FOLDED)]


class HistoryPage(msgspec.Struct):
    """A player's ledger entries, newest first. A score update appears after about a second."""

    entries: list[HistoryEntry]
    next: Annotated[int | None, msgspec.Meta(description=_EARLIER)]


_LIMIT = Parameter(
    key="history_limit",
    name="limit",
    place="query",
    description="Maximum number of entries on a page.",
    maximum=MAX_LIMIT,
    default=LIMIT,
    example=2,
)
_BEFORE = Parameter(
    name="before",
    place="query",
    description="The previous page's `next`. Without it, the response has the newest entries.",
    maximum=MAX_NUMBER,
)
_EXAMPLE = HistoryPage(
    [
        HistoryEntry(
            n=8,
            write_id="5bbc7d4d06.8",
            kind=EntryKind.ACTION,
            points=5,
            submitted=None,
            epochs={},
            score=171,
            at=TIME,
            action_id=None,
            action_type=None,
            frontend="F",
            by="alice",
            reason=None,
            takes_back=[],
            hash="3a56f1c07e0d2b9a4c8e6f5d1b3a29708c4e6d5f7a8b9c0d1e2f3a4b5c6d7e8f",
            folded_entries=0,
        ),
        HistoryEntry(
            n=7,
            write_id="5bbc7d4d06.7",
            kind=EntryKind.ACTION,
            points=95,
            submitted=None,
            epochs={},
            score=166,
            at=TIME,
            action_id=None,
            action_type=None,
            frontend="E",
            by="alice",
            reason=None,
            takes_back=[],
            hash="90c2d4e6f8a1b3c5d7e9f0a2b4c6d8e1f3a5b7c9d0e2f4a6b8c1d3e5f7a9b0c2",
            folded_entries=0,
        ),
    ],
    next=7,
)


class LedgerReader(Protocol):
    """Reads the ledger. Both methods raise DatabaseError."""

    async def history(self, player: str, limit: int, before_n: int | None, *, board: str) -> list[Entry]:
        """Up to `limit` entries with numbers below `before_n`, newest first."""

    async def knows(self, player: str, *, board: str) -> bool:
        """Whether the player exists on a board, shown or not."""


class HistoryEndpoints:
    """The endpoint `/api/v1/players/{user_id}/history`."""

    def __init__(self, ledger: LedgerReader, authenticator: Authenticator, board: str) -> None:
        self._ledger = ledger
        self._board = board
        self._authenticator = authenticator

    def routes(self) -> list[Route]:
        return routes_of(self)

    @handles(
        Operation(
            method="GET",
            path="/api/v1/players/{user_id}/history",
            tag=TAG,
            summary="Return a player's ledger entries, newest first.",
            outcomes=cached(_EXAMPLE),
            errors=(*ANY, PlayerNotFound, DatabaseError, *CREDENTIALS, InsufficientScope),
            access=PLAYER_OR_MODERATOR,
            parameters=(USER_ID, _LIMIT, _BEFORE, IF_NONE_MATCH),
        )
    )
    async def get(self, request: Request) -> Response:
        caller = await self._authenticator.authenticate(request)
        moderates = Scope.ADMIN in caller.scopes
        user_id = path_user_id(request)
        if caller.user_id != user_id:
            require(caller, Scope.ADMIN)
        limit = int_query_param(request, "limit", LIMIT, MAX_LIMIT)
        before = int_query_param(request, "before", None, MAX_NUMBER)
        found = await self._ledger.history(user_id, limit, before, board=self._board)
        if not found and not await self._ledger.knows(user_id, board=self._board):
            raise PlayerNotFound
        entries = [_shown(entry, moderates=moderates) for entry in found]
        more = len(found) == limit and found[-1].n > 1 and not found[-1].checkpoint
        page = HistoryPage(entries, found[-1].n if more else None)
        return json_response(request, msgspec.json.encode(page), PRIVATE, ("Vary", "Authorization"))


def _shown(entry: Entry, *, moderates: bool) -> HistoryEntry:
    return HistoryEntry(
        n=entry.n,
        write_id=entry.write_id,
        kind=entry.kind,
        points=entry.points,
        submitted=entry.submitted,
        epochs=dict(entry.epochs),
        score=entry.score,
        at=rfc3339(entry.at),
        action_id=entry.id,
        action_type=entry.type,
        frontend=entry.frontend or None,
        by=(entry.by or None) if moderates or entry.kind in _BY_PLAYERS else None,
        reason=entry.reason or None,
        takes_back=list(entry.takes_back),
        hash=entry.hash.hex(),
        folded_entries=entry.n - 1 if entry.checkpoint else 0,
    )
