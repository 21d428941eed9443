"""The parts that requests share in the OpenAPI document: parameters, headers, and one response for each status."""

from __future__ import annotations

from collections import defaultdict
from http import HTTPStatus
from typing import Any

from tornado_app.api.openapi.operations import LIMITS, Operation, Outcome
from tornado_app.api.openapi.schemas import Json, Schemas
from tornado_app.api.rest.board_version import CONDITION, HEADER, PATIENCE
from tornado_app.api.rest.history import LIMIT, MAX_LIMIT, MAX_NUMBER
from tornado_app.api.rest.players import AROUND, MAX_AROUND, MAX_PAGE, PAGE
from tornado_app.api.rest.submit import POLICY_NAME
from tornado_app.api.schema.fields import ACTION_ID
from tornado_app.core.errors import InsufficientScope, LeaderboardError, Unauthenticated
from tornado_app.core.identity import USER_ID
from tornado_app.core.policies import RateLimit
from tornado_app.http import errors
from tornado_app.http.errors import ErrorBody

_LIMIT = RateLimit()
_A_VERSION = "7301452811264001"


def _text(description: str, example: str | None = None, **schema: Any) -> Json:
    found: Json = {"description": description, "schema": {"type": "string", **schema}}
    return found if example is None else {**found, "example": example}


def _number(description: str, least: int, default: int | None = None, most: int | None = None) -> Json:
    bounds = {"minimum": least, "maximum": most, "default": default}
    return {
        "description": description,
        "schema": {"type": "integer", **{name: bound for name, bound in bounds.items() if bound is not None}},
    }


PARAMETERS: Json = {
    "user_id": {
        "name": "user_id",
        "in": "path",
        "required": True,
        **_text("The player's user id, percent-encoded; 404 for text that cannot be one.", "alice", pattern=USER_ID),
    },
    "around_limit": {
        "name": "limit",
        "in": "query",
        **_number("How many players above, and how many below.", 1, AROUND, MAX_AROUND),
    },
    "page_limit": {"name": "limit", "in": "query", **_number("How many players a page.", 1, PAGE, MAX_PAGE)},
    "history_limit": {"name": "limit", "in": "query", **_number("How many entries a page.", 1, LIMIT, MAX_LIMIT)},
    "before": {
        "name": "before",
        "in": "query",
        **_number("The `next` of the page before; without it, the newest entries.", 1, None, MAX_NUMBER),
    },
    "after": {"name": "after", "in": "query", **_text("The `next` of the page before; without it, the first page.")},
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        **_text(
            "Makes the request count once: the same key with the same request gets the stored answer again, with "
            "another request 409. Without it each request counts.",
            "level-7-8c1f",
            pattern=ACTION_ID,
        ),
    },
    "Action-Proof": {
        "name": "Action-Proof",
        "in": "header",
        **_text(
            "The game server's word that the action happened: a compact JWS with `sub`, `act`, `pts`, `jti`, `iat` and "
            "`exp`. Its `jti` makes the action count once. Whether it is needed is a setting."
        ),
    },
    "Captcha-Token": {
        "name": "Captcha-Token",
        "in": "header",
        **_text("The token of a solved captcha, where the service asks for one and no action proof came along."),
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        **_text("The `ETag` that the client has: 304 where it is still the one."),
    },
    CONDITION: {
        "name": CONDITION,
        "in": "header",
        **_text(
            f"The greatest `{HEADER}` that the client has seen, of any path and process. The answer waits until it "
            f"shows that version, at most {PATIENCE * 1000:.0f} ms. If it does not get there, its own `{HEADER}` is "
            "lower than the one that was sent.",
            _A_VERSION,
            pattern=r"^[0-9]{1,16}$",
        ),
    },
}

HEADERS: Json = {
    "X-Request-Id": _text("Names the request in the logs: the client's own where it sent one.", "5d1c4a90b7-2f"),
    "RateLimit-Policy": _text(
        "How many updates (`q`) a player has in any window of `w` seconds.",
        f'"{POLICY_NAME}";q={_LIMIT.updates};w={_LIMIT.window:.0f}',
    ),
    "RateLimit": _text(
        "How many updates are left (`r`), and in how many seconds one more is free (`t`).",
        f'"{POLICY_NAME}";r={_LIMIT.updates - 1};t={_LIMIT.window:.0f}',
    ),
    "Idempotent-Replay": _text("There where the action was counted before: nothing was added.", enum=["true"]),
    HEADER: _text(
        f"A version of the board: an integer that grows with it, the same in every process. A read that sends it as "
        f"`{CONDITION}` shows all that this answer shows.",
        _A_VERSION,
    ),
    "ETag": _text("Names this state of the answer.", '"4ac8b1d0f2e6937a5b1c0d9e"'),
    "Cache-Control": _text("Whether shared caches may keep it, and that they must ask again."),
    "Retry-After": {**_number("Seconds after which it is worth trying again.", 1), "example": 12},
    "Upgrade": _text("The protocol that is spoken here.", enum=["websocket"]),
    "WWW-Authenticate": _text("Which credentials are asked for, and what was wrong.", 'Bearer realm="leaderboard"'),
}

CHALLENGED = (Unauthenticated, InsufficientScope)
_WAIT = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE)


class Responses:
    """Every answer that a request may get, by status; refusals are `components`, as most requests share them."""

    def __init__(self, schemas: Schemas) -> None:
        self.components: Json = {}
        self._schemas = schemas

    def of(self, operation: Operation) -> Json:
        """The member `responses` of an operation."""
        found = {status: _outcome(outcome, self._schemas) for status, outcome in operation.outcomes.items()}
        kinds: dict[int, list[type[LeaderboardError]]] = defaultdict(list)
        for kind in operation.errors:
            kinds[errors.status(kind())].append(kind)
        found |= {status: self._refusal(status, codes, limited=operation.limited) for status, codes in kinds.items()}
        return {str(status): found[status] for status in sorted(found)}

    def _refusal(self, status: int, kinds: list[type[LeaderboardError]], *, limited: bool) -> Json:
        name = ".".join([*(["write"] if limited else []), str(status), *(kind.code for kind in kinds)])
        self.components[name] = _refusal(status, kinds, self._schemas, LIMITS if limited else ())
        return {"$ref": f"#/components/responses/{name}"}


def _outcome(outcome: Outcome, schemas: Schemas) -> Json:
    found: Json = {"description": outcome.text}
    if not outcome.upgrades:
        found["headers"] = _headers("X-Request-Id", *outcome.headers)
    if outcome.kind is not None:
        example = outcome.example or schemas.example(outcome.kind)
        found["content"] = {"application/json": {"schema": schemas.reference(outcome.kind), "example": example}}
    return found


def _refusal(status: int, kinds: list[type[LeaderboardError]], schemas: Schemas, limits: tuple[str, ...]) -> Json:
    headers = ["X-Request-Id", *limits]
    headers += ["WWW-Authenticate"] if any(issubclass(kind, CHALLENGED) for kind in kinds) else []
    headers += ["Retry-After"] if status in _WAIT else []
    headers += ["Upgrade"] if status == HTTPStatus.UPGRADE_REQUIRED else []
    codes = {"type": "object", "properties": {"error": {"enum": [kind.code for kind in kinds]}}}
    return {
        "description": " ".join(f"`{kind.code}`: {kind.message}" for kind in kinds),
        "headers": _headers(*headers),
        "content": {
            "application/json": {
                "schema": {"allOf": [schemas.reference(ErrorBody), codes]},
                "examples": {kind.code: {"value": {"error": kind.code, "message": kind.message}} for kind in kinds},
            }
        },
    }


def _headers(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
