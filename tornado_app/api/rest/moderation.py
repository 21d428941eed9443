"""Moderation over HTTP: `/api/v1/admin/players/{user_id}/…`, for tokens with the scope `leaderboard:admin`."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import Annotated, Any

import msgspec

from tornado_app.api.authentication import Authenticator
from tornado_app.api.rest import board_version
from tornado_app.api.rest.params import path_user_id
from tornado_app.api.schema.decoding import Decoder
from tornado_app.api.schema.fields import ActionId, PlayerId, Score
from tornado_app.core.errors import DatabaseError, LeaderboardError
from tornado_app.core.model import Caller
from tornado_app.core.moderation import Moderation, ModerationResult
from tornado_app.http.messages import JSON_TYPE, Endpoint, Request, Response, Route
from tornado_app.http.refusal_log import cause

audit = logging.getLogger("leaderboard.audit")

NO_STORE = ("Cache-Control", "no-store")

Reason = Annotated[
    str, msgspec.Meta(min_length=1, max_length=500, description="Why; it goes on record.", examples=["speed hack"])
]
Since = Annotated[
    datetime, msgspec.Meta(tz=True, description="RFC 3339 with a zone.", examples=["2026-01-02T03:04:05Z"])
]


LAST_MOMENT = 253_402_300_799_999
"""Milliseconds since the epoch at the end of the year 9999, past which the database has no times that can be read."""


def milliseconds(since: datetime) -> int:
    """Since the epoch, and within what a stored time can be: a zone can carry the first and last days past it."""
    return min(max(round(since.timestamp() * 1000), 0), LAST_MOMENT)


class ModerationRequest(msgspec.Struct):
    """Why it is done."""

    reason: Reason


class TakeBack(msgspec.Struct):
    """Which actions are taken back: one, by its id, or all since a time."""

    reason: Reason
    action_id: Annotated[ActionId | None, msgspec.Meta(examples=["level_complete:8c1f"])] = None
    since: Since | None = None


class State(msgspec.Struct):
    """How the player stands after it. `changed` is false where it was so already."""

    user_id: PlayerId
    score: Score
    suspended: bool
    hidden: bool
    changed: bool
    points_taken_back: int
    actions_taken_back: int


class Export(msgspec.Struct):
    """All that is stored of a player: the document, every action on record, and the rules of suspicion that broke."""

    player: dict[str, Any]
    ledger: list[dict[str, Any]]
    rules_broken: dict[str, Any]


ModerationAction = Callable[[Caller, str, str], Awaitable[ModerationResult]]


class ModerationEndpoints:
    """The moderator's endpoints; each leaves an audit line."""

    def __init__(self, moderation: Moderation, authenticator: Authenticator) -> None:
        self._moderation = moderation
        self._authenticator = authenticator
        self._case = Decoder(ModerationRequest)
        self._take_back = Decoder(TakeBack)

    def routes(self) -> list[Route]:
        """Paths, and what answers on them."""
        base = "/api/v1/admin/players/{user_id}"
        verbs = ("suspend", "reinstate", "hide", "show")
        simple = [Route(f"{base}/{name}", {"POST": self._verb(name)}, frozenset()) for name in verbs]
        return [
            *simple,
            Route(f"{base}/take-back", {"POST": self.take_back}, frozenset()),
            Route(f"{base}/erase", {"POST": self.erase}, frozenset()),
            Route(f"{base}/export", {"GET": self.export}, frozenset()),
        ]

    def _verb(self, name: str) -> Endpoint:
        verb: ModerationAction = getattr(self._moderation, name)

        async def endpoint(request: Request) -> Response:
            caller = await self._authenticator.authenticate(request)
            with _refusals(name, request, caller):
                user_id, reason = path_user_id(request), self._case(request).reason
                answer = _answer(name, caller, reason, await verb(caller, user_id, reason))
            return await self._versioned(answer)

        return endpoint

    async def take_back(self, request: Request) -> Response:
        """Take back one action, or all since a time."""
        caller = await self._authenticator.authenticate(request)
        with _refusals("take_back", request, caller):
            body = self._take_back(request)
            since = None if body.since is None else milliseconds(body.since)
            moderated = await self._moderation.take_back(
                caller, path_user_id(request), body.reason, action_id=body.action_id, since=since
            )
            answer = _answer("take_back", caller, body.reason, moderated)
        return await self._versioned(answer)

    async def erase(self, request: Request) -> Response:
        """Forget a player."""
        caller = await self._authenticator.authenticate(request)
        with _refusals("erase", request, caller):
            reason = self._case(request).reason
            await self._moderation.erase(caller, path_user_id(request), reason)
        _record("erase", caller, reason=reason)
        return await self._versioned(Response(204, headers=(NO_STORE,)))

    async def _versioned(self, answer: Response) -> Response:
        """The answer with the version that shows what was done; without it where the database no longer tells."""
        try:
            return answer.plus((board_version.HEADER, str(await self._moderation.version())))
        except DatabaseError:
            return answer  # what was done stays done

    async def export(self, request: Request) -> Response:
        """All that is stored of a player."""
        caller = await self._authenticator.authenticate(request)
        with _refusals("export", request, caller):
            user_id = path_user_id(request)
            found = await self._moderation.export(caller, user_id)
        _record("export", caller, player=user_id)
        return Response(200, msgspec.json.encode(found), (JSON_TYPE, NO_STORE))


@contextlib.contextmanager
def _refusals(verb: str, request: Request, caller: Caller) -> Iterator[None]:
    """Writes an audit line for each refusal: an attempt without the scope is a finding."""
    try:
        yield
    except LeaderboardError as refusal:
        fields = {"verb": verb, "by": caller.user_id, "remote": request.remote, **cause(refusal)}
        audit.info("moderation refused", extra={"event": "moderation_refused", **fields})
        raise


def _record(verb: str, caller: Caller, **fields: object) -> None:
    """Put on record what was done, and by whom."""
    audit.info("moderation", extra={"event": "moderation", "verb": verb, "by": caller.user_id, **fields})


def _answer(verb: str, caller: Caller, reason: str, moderated: ModerationResult) -> Response:
    outcome = {"changed": moderated.changed, "points": moderated.points}
    _record(verb, caller, player=moderated.user_id, reason=reason, **outcome)
    state = State(
        moderated.user_id,
        moderated.score,
        moderated.suspended,
        moderated.hidden,
        moderated.changed,
        moderated.points,
        moderated.actions,
    )
    return Response(200, msgspec.json.encode(state), (JSON_TYPE, NO_STORE))
