"""Moderation over HTTP: `/api/v1/admin/players/{user_id}/…`, for tokens with the scope `leaderboard:admin`."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec

from tornado_app.api.authentication import Authenticator
from tornado_app.api.rest import board_version
from tornado_app.api.rest.operations import (
    ANY,
    BODY,
    CREDENTIALS,
    MODERATOR,
    PLAYER_OR_MODERATOR,
    VERSION,
    Access,
    Errors,
    Method,
    Operation,
    Outcome,
    Tag,
    handles,
    routes_of,
)
from tornado_app.api.rest.params import USER_ID, path_user_id
from tornado_app.api.schema import BOARD_VERSION, MOMENT, TIME, ActionId, Decoder, PlayerId, Score
from tornado_app.core.boards import MAIN
from tornado_app.core.errors import (
    ActionNotFound,
    DatabaseError,
    InsufficientScope,
    LeaderboardError,
    PlayerNotFound,
)
from tornado_app.core.model import Caller, Scope
from tornado_app.core.moderation import Moderation, ModerationResult
from tornado_app.http.messages import JSON_TYPE, Request, Response, Route
from tornado_app.http.request_log import cause

audit = logging.getLogger("leaderboard.audit")

_MAIN: Mapping[str, str] = {}
"""Fields of the audit log about the board: none for `main`."""

NO_STORE = ("Cache-Control", "no-store")

Reason = Annotated[
    str, msgspec.Meta(min_length=1, max_length=500, description="The reason, for the ledger and the audit log.")
]
Since = Annotated[
    datetime, msgspec.Meta(tz=True, description="Take back all actions since this time: RFC 3339 with a time zone.")
]


LAST_MOMENT = 253_402_300_799_999
"""The end of the year 9999 in milliseconds since the epoch. Drivers cannot read later times."""


def milliseconds(since: datetime) -> int:
    """Milliseconds since the epoch, clipped to the times that can be stored, which a time zone can exceed."""
    return min(max(round(since.timestamp() * 1000), 0), LAST_MOMENT)


class ModerationRequest(msgspec.Struct):
    """The reason for a moderation."""

    reason: Reason


class TakeBack(msgspec.Struct, omit_defaults=True):
    """The actions to take back: one, by its id, or all since a time."""

    reason: Reason
    action_id: Annotated[ActionId | None, msgspec.Meta(description="Id of the action to take back.")] = None
    since: Since | None = None


class PlayerState(msgspec.Struct):
    """The player's state after the request. `score`: null without a score (rule best or last). `changed`: whether the
    request changed it."""

    user_id: PlayerId
    score: Score | None
    suspended: bool
    hidden: bool
    changed: bool
    points_taken_back: int
    actions_taken_back: int


class PlayerExport(msgspec.Struct):
    """Everything stored about a player: the document of the board `main`, null without one; those of other boards, by
    board; the ledger entries; the abuse rules that matched; the player's rows in results of epochs; the epochs in which
    the player is disqualified, with moderator, reason and time."""

    player: dict[str, Any] | None
    boards: dict[str, dict[str, Any]]
    ledger: list[dict[str, Any]]
    rules_broken: dict[str, Any]
    results: list[dict[str, Any]]
    disqualified: list[dict[str, Any]]


TAG = Tag("Moderation", f"For tokens with the scope `{Scope.ADMIN}`. The audit log has each request.")

_PLAYER = msgspec.structs.replace(USER_ID, key="moderated_user_id", example="mallory")
_REQUEST = ModerationRequest("Speed hack")
_EXPORT = PlayerExport(
    player={
        "_id": "mallory",
        "createdAt": TIME,
        "h": {"1": f'["a",50,"3519d145cb.0",{MOMENT},120,"mallory","level_complete:8c1f","wy9xm4NvjR4=",null,"D"]'},
        "score": 50,
        "seq": 1,
        "updatedAt": TIME,
    },
    boards={},
    ledger=[
        {
            "write_id": "3519d145cb.0",
            "player": "mallory",
            "n": 1,
            "kind": "action",
            "points": 50,
            "score": 50,
            "at": TIME,
            "version": BOARD_VERSION,
            "id": "level_complete:8c1f",
            "type": "level_complete",
            "frontend": "D",
            "by": "mallory",
            "reason": "",
            "takes_back": [],
            "submitted": None,
            "hash": "45f53321700f5535ef3063c75b871553ee1b1ef1b867c0c3852c794cdfe8e8ba",
            "checkpoint": "",
            "board": "main",
            "epochs": {},
        }
    ],
    rules_broken={},
    results=[],
    disqualified=[],
)


def _done(
    *,
    score: int = 50,
    suspended: bool = False,
    hidden: bool = False,
    points_taken_back: int = 0,
    actions_taken_back: int = 0,
) -> tuple[int, Outcome]:
    state = PlayerState("mallory", score, suspended, hidden, True, points_taken_back, actions_taken_back)  # noqa: FBT003
    return 200, Outcome("The player's state after the request.", state, ("Cache-Control", VERSION))


def _handles(
    method: str,
    verb: str,
    summary: str,
    outcome: tuple[int, Outcome],
    *,
    body: msgspec.Struct = _REQUEST,
    access: Access = MODERATOR,
    errors: Errors = (),
) -> Callable[[Method], Method]:
    with_body = method == "POST"
    return handles(
        Operation(
            method=method,
            path=f"/api/v1/admin/players/{{user_id}}/{verb}",
            tag=TAG,
            summary=summary,
            outcomes=dict([outcome]),
            errors=(
                *ANY,
                *CREDENTIALS,
                InsufficientScope,
                PlayerNotFound,
                DatabaseError,
                *(BODY if with_body else ()),
                *errors,
            ),
            access=access,
            parameters=(_PLAYER,),
            body=body if with_body else None,
        )
    )


ModerationAction = Callable[[Caller, str, str], Awaitable[ModerationResult]]


class ModerationEndpoints:
    """The endpoints of moderators that concern all boards; each request is logged to the audit log."""

    def __init__(self, moderation: Moderation, authenticator: Authenticator) -> None:
        self._moderation = moderation
        self._authenticator = authenticator
        self._case = Decoder(ModerationRequest)

    def routes(self) -> list[Route]:
        return routes_of(self)

    @_handles("POST", "suspend", "Suspend a player: score updates are refused.", _done(suspended=True))
    async def suspend(self, request: Request) -> Response:
        return await self._apply("suspend", self._moderation.suspend, request)

    @_handles("POST", "reinstate", "Reinstate a suspended player.", _done())
    async def reinstate(self, request: Request) -> Response:
        return await self._apply("reinstate", self._moderation.reinstate, request)

    @_handles("POST", "hide", "Hide a player; they keep scoring.", _done(hidden=True))
    async def hide(self, request: Request) -> Response:
        return await self._apply("hide", self._moderation.hide, request)

    @_handles("POST", "show", "Show a hidden player again.", _done())
    async def show(self, request: Request) -> Response:
        return await self._apply("show", self._moderation.show, request)

    async def _apply(self, name: str, action: ModerationAction, request: Request) -> Response:
        caller = await self._authenticator.authenticate(request)
        with refusals(name, request, caller):
            user_id, reason = path_user_id(request), self._case(request).reason
            answer = _answer(name, caller, reason, await action(caller, user_id, reason))
        return await _versioned(self._moderation, answer)

    @_handles(
        "POST",
        "erase",
        "Erase a player and the player's data.",
        (204, Outcome("The player was erased.", None, ("Cache-Control", VERSION))),
    )
    async def erase(self, request: Request) -> Response:
        caller = await self._authenticator.authenticate(request)
        with refusals("erase", request, caller):
            reason = self._case(request).reason
            await self._moderation.erase(caller, path_user_id(request), reason)
        record("erase", caller, reason=reason)
        return await _versioned(self._moderation, Response(204, headers=(NO_STORE,)))

    @_handles(
        "GET",
        "export",
        "Return everything stored about a player.",
        (200, Outcome("The stored data.", _EXPORT, ("Cache-Control",))),
        access=PLAYER_OR_MODERATOR,
    )
    async def export(self, request: Request) -> Response:
        caller = await self._authenticator.authenticate(request)
        with refusals("export", request, caller):
            user_id = path_user_id(request)
            found = await self._moderation.export(caller, user_id)
        record("export", caller, player=user_id)
        return Response(200, msgspec.json.encode(found), (JSON_TYPE, NO_STORE))


class TakeBackEndpoint:
    """Take-back on one board, of which `moderation` must be; each request is logged to the audit log."""

    def __init__(self, moderation: Moderation, authenticator: Authenticator, board: str) -> None:
        self._moderation = moderation
        self._authenticator = authenticator
        self._board = {} if board == MAIN.name else {"board": board}
        self._body = Decoder(TakeBack)

    def routes(self) -> list[Route]:
        return routes_of(self)

    @_handles(
        "POST",
        "take-back",
        "Take back the points of one action, or of all actions since a time.",
        _done(score=0, points_taken_back=50, actions_taken_back=1),
        body=TakeBack("Speed hack", "level_complete:8c1f"),
        errors=(ActionNotFound,),
    )
    async def take_back(self, request: Request) -> Response:
        caller = await self._authenticator.authenticate(request)
        with refusals("take_back", request, caller, self._board):
            body = self._body(request)
            since = None if body.since is None else milliseconds(body.since)
            moderated = await self._moderation.take_back(
                caller, path_user_id(request), body.reason, action_id=body.action_id, since=since
            )
            answer = _answer("take_back", caller, body.reason, moderated, self._board)
        return await _versioned(self._moderation, answer)


async def _versioned(moderation: Moderation, answer: Response) -> Response:
    """The response with the board version that shows the change; without it if the database does not answer."""
    try:
        return answer.plus(board_version.ANY.header(await moderation.version()))
    except DatabaseError:
        return answer  # the change was made


@contextlib.contextmanager
def refusals(verb: str, request: Request, caller: Caller, board: Mapping[str, str] = _MAIN) -> Iterator[None]:
    """Log each refusal to the audit log, such as an attempt without the scope."""
    try:
        yield
    except LeaderboardError as refusal:
        fields = {"verb": verb, "by": caller.user_id, "remote": request.remote, **board, **cause(refusal)}
        audit.info("moderation refused", extra={"event": "moderation_refused", **fields})
        raise


def record(verb: str, caller: Caller, **fields: object) -> None:
    audit.info("moderation", extra={"event": "moderation", "verb": verb, "by": caller.user_id, **fields})


def _answer(
    verb: str, caller: Caller, reason: str, moderated: ModerationResult, board: Mapping[str, str] = _MAIN
) -> Response:
    outcome = {**board, "changed": moderated.changed, "points": moderated.points}
    record(verb, caller, player=moderated.user_id, reason=reason, **outcome)
    state = PlayerState(
        moderated.user_id,
        moderated.score,
        moderated.suspended,
        moderated.hidden,
        moderated.changed,
        moderated.points,
        moderated.actions,
    )
    return Response(200, msgspec.json.encode(state), (JSON_TYPE, NO_STORE))
