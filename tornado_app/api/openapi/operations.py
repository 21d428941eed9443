"""Every request of the API as a value, for its description: the frontends' from their own, the others as a table."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Literal

import msgspec

from tornado_app.api.frontends.base import BoardEndpoint, Frontend, ScoreEndpoint
from tornado_app.api.rest.history import HistoryPage
from tornado_app.api.rest.players import Around, Page, PlayerAnswer, ProfileBody
from tornado_app.api.rest.probes import Health
from tornado_app.core import errors
from tornado_app.core.errors import LeaderboardError
from tornado_app.http.errors import (
    STATUS,
    BadRequest,
    BodyTooLarge,
    HeadersTooLarge,
    HostNotAllowed,
    UnsupportedMediaType,
    UpgradeRequired,
)

Errors = tuple[type[LeaderboardError], ...]

PROBE: Errors = (BadRequest, BodyTooLarge, HeadersTooLarge, LeaderboardError)
"""What any request may get."""

ANY: Errors = (*PROBE, HostNotAllowed)
"""What any request may get that is no probe."""

CREDENTIALS: Errors = (errors.MissingToken, errors.InvalidToken, errors.ExpiredToken, errors.RateLimited)
"""What a request with a token may get; also an address that failed too often is limited."""

BODY: Errors = (errors.InvalidJson, errors.InvalidBody, UnsupportedMediaType)
FORBIDDEN: Errors = tuple(kind for kind in errors.Forbidden.__subclasses__() if kind.__module__ == errors.__name__)
UNAVAILABLE: Errors = tuple(kind for kind, status in STATUS if status == HTTPStatus.SERVICE_UNAVAILABLE)
WRITE: Errors = (
    *ANY,
    *CREDENTIALS,
    *BODY,
    errors.InvalidIncrement,
    errors.UnknownActionType,
    *(kind for kind in FORBIDDEN if kind is not errors.InsufficientScope),
    errors.ActionConflict,
    errors.DatabaseError,
    *UNAVAILABLE,
)

VOUCHERS = ("Action-Proof", "Captcha-Token")
LIMITS = ("RateLimit-Policy", "RateLimit")
CACHED = ("ETag", "Cache-Control")
VERSION = "Board-Version"
CONDITIONS = ("If-None-Match", "If-Board-Version")


class Outcome(msgspec.Struct, frozen=True):
    """An answer that is not an error; `kind` None has no body, `example` None is made from the type.

    `upgrades`: it ends HTTP, and with it what HTTP answers have in common.
    """

    text: str
    kind: type[Any] | None = None
    headers: tuple[str, ...] = ()
    example: Any = None
    upgrades: bool = False


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method on one path. `parameters` and `headers` go by name; `limited`: it counts for the rate limit."""

    method: str
    path: str
    tag: str
    summary: str
    outcomes: dict[int, Outcome]
    errors: Errors = ANY
    token: Literal["none", "optional", "required"] = "none"  # noqa: S105  # no secret: who must show one
    parameters: tuple[str, ...] = ()
    body: type[Any] | None = None
    body_required: bool = True
    limited: bool = False

    @property
    def id(self) -> str:
        """A name for generated clients: `postUpdateScore`."""
        words = re.sub(r"\{\w+\}|^/api/", "", self.path)
        return self.method.lower() + "".join(word.capitalize() for word in re.findall(r"\w+", words))


def operations(frontends: Iterable[Frontend]) -> list[Operation]:
    """All of them, frontend by frontend."""
    found: list[Operation] = []
    for frontend in frontends:
        found += [_of_write(tag(frontend), write) for write in frontend.writes]
        found += [_of_read(tag(frontend), read) for read in frontend.reads]
        found += [_of_socket(tag(frontend), path) for path, _ in frontend.sockets]
    return [*found, *PLAYERS, *PROBES]


def tag(frontend: Frontend) -> str:
    """A frontend's name for readers."""
    return f"Frontend {frontend.name}"


def _of_write(name: str, write: ScoreEndpoint) -> Operation:
    counted = Outcome("Counted.", write.answer, (*LIMITS, VERSION, "Idempotent-Replay"))
    outcomes = {HTTPStatus.OK.value: counted}
    if write.creates and write.created_status != HTTPStatus.OK:
        outcomes[write.created_status] = Outcome(
            "Counted, and the player was created.", write.answer, (*LIMITS, VERSION)
        )
    unknown: Errors = () if write.creates else (errors.PlayerNotFound,)
    return Operation(
        method=write.method,
        path=write.path,
        tag=name,
        summary=write.summary,
        outcomes=outcomes,
        errors=(*WRITE, *unknown),
        token="required",  # noqa: S106
        parameters=("Idempotency-Key", *VOUCHERS) if write.idempotency_key else VOUCHERS,
        body=write.body,
        body_required=not write.optional_body,
        limited=True,
    )


def _of_read(name: str, read: BoardEndpoint) -> Operation:
    personal = read.personal is not None
    return Operation(
        method="GET",
        path=read.path,
        tag=name,
        summary=read.summary,
        outcomes=_cached(read.answer, VERSION),
        errors=(*ANY, errors.DatabaseError, *(CREDENTIALS if personal else ())),
        token="optional" if personal else "none",
        parameters=CONDITIONS,
    )


def _of_socket(name: str, path: str) -> Operation:
    return Operation(
        method="GET",
        path=path,
        tag=name,
        summary="The top 10, live: a WebSocket, described in `x-websockets`",
        outcomes={101: Outcome("The socket is open.", upgrades=True)},
        errors=(*ANY, UpgradeRequired),
        token="optional",  # noqa: S106
    )


def _cached(kind: type[Any], *more: str) -> dict[int, Outcome]:
    headers = (*CACHED, *more)
    return {200: Outcome("As it is now.", kind, headers), 304: Outcome("As the client has it.", None, headers)}


def _player(method: str, path: str, summary: str, **more: Any) -> Operation:
    return Operation(method=method, path=path, tag="Players", summary=summary, **more)


_FOUND: Errors = (*ANY, errors.PlayerNotFound, errors.DatabaseError)

PLAYERS = (
    _player(
        "GET",
        "/api/v1/players/{user_id}",
        "One player: score, rank and profile",
        outcomes=_cached(PlayerAnswer, VERSION),
        errors=_FOUND,
        parameters=("user_id", *CONDITIONS),
    ),
    _player(
        "PUT",
        "/api/v1/players/{user_id}",
        "Create a player, or change name and picture",
        outcomes={
            200: Outcome("Changed.", PlayerAnswer, (VERSION,)),
            201: Outcome("Created.", PlayerAnswer, (VERSION,)),
        },
        errors=(*_FOUND, *CREDENTIALS, *BODY, errors.UserMismatch, errors.Overloaded),
        token="required",  # noqa: S106
        parameters=("user_id",),
        body=ProfileBody,
        body_required=False,
    ),
    _player(
        "GET",
        "/api/v1/players/{user_id}/around",
        "The players just above and below one",
        outcomes=_cached(Around, VERSION),
        errors=_FOUND,
        parameters=("user_id", "around_limit", *CONDITIONS),
    ),
    _player(
        "GET",
        "/api/v1/players/{user_id}/history",
        "What was done to a player's score, for the player and for moderators",
        outcomes=_cached(HistoryPage),
        errors=(*_FOUND, *CREDENTIALS, errors.InsufficientScope),
        token="required",  # noqa: S106
        parameters=("user_id", "history_limit", "before", "If-None-Match"),
    ),
    _player(
        "GET",
        "/api/v1/leaderboard",
        "The whole board, page by page",
        outcomes=_cached(Page, VERSION),
        errors=(*ANY, errors.DatabaseError),
        parameters=("page_limit", "after", *CONDITIONS),
    ),
)

_NOT_READY = {"status": "unavailable", "reasons": ["the database does not answer"]}

PROBES = (
    Operation(
        method="GET",
        path="/healthz",
        tag="Operations",
        summary="Whether the process is alive",
        outcomes={200: Outcome("Alive.", Health, ("Cache-Control",))},
        errors=PROBE,
    ),
    Operation(
        method="GET",
        path="/readyz",
        tag="Operations",
        summary="Whether traffic should come, and why not",
        outcomes={
            200: Outcome("Ready.", Health, ("Cache-Control",)),
            503: Outcome("Not ready, with the reasons.", Health, ("Cache-Control",), _NOT_READY),
        },
        errors=PROBE,
    ),
)
