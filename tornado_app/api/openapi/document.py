"""The OpenAPI 3.1 description of the API, built from the operations that the code declares.

`leaderboard openapi` prints it, `/openapi.json` serves it. OpenAPI has no WebSockets: `x-websockets` lists them with
their messages and close codes, `x-errors` every error code. Source: https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tornado_app import __version__
from tornado_app.api.board_routes import PREFIX
from tornado_app.api.frontends import FRONTENDS
from tornado_app.api.frontends.base import Frontend
from tornado_app.api.openapi.components import HEADERS, Json, Responses, Schemas, content, key, parameters
from tornado_app.api.rest.board_list import BoardListEndpoint
from tornado_app.api.rest.history import HistoryEndpoints
from tornado_app.api.rest.moderation import ModerationEndpoints, TakeBackEndpoint
from tornado_app.api.rest.operations import CREDENTIALS, Errors, Operation, operations_of
from tornado_app.api.rest.periods import PeriodEndpoints
from tornado_app.api.rest.players import Page, PlayerEndpoints
from tornado_app.api.rest.probes import ProbeEndpoints
from tornado_app.api.rest.routes import operations_of_frontend, tag
from tornado_app.api.websocket import announcements, connections, handler
from tornado_app.api.websocket.protocol import TOO_BIG
from tornado_app.core import errors as core_errors
from tornado_app.core.boards import MAIN
from tornado_app.core.errors import LeaderboardError, RateLimited, TooManyConnections
from tornado_app.core.identity import MAX_TOKEN, USER_ID_FORM
from tornado_app.core.model import Scope
from tornado_app.core.policies import RateLimit
from tornado_app.http import errors, messages
from tornado_app.http.errors import BadRequest, OriginNotAllowed
from tornado_app.http.messages import MAX_HEADERS
from tornado_app.http.request_checks import MAX_BODY

_LIMIT = RateLimit()

_DESCRIPTION = f"""\
Six APIs, A to F, for a board: a score through one of them appears in all. A to E add points; F is for every rule of \
the board, and the only one where the best or the last score counts.

**Authentication.** `Authorization: Bearer <JWT>`. The player is the token's `sub`, or `user_id` if there is no `sub`. \
The player's name is the first of `nickname`, `preferred_username` and `name` that is not an e-mail address; `picture` \
is the picture. Settings can name other claims. A user id is {USER_ID_FORM}; in a path it is percent-encoded. A token \
with the scope `{Scope.WRITE}` belongs to a game server, which may add points for any player. A token with the scope \
`{Scope.ADMIN}` belongs to a moderator.

**Exactly once.** An action with an id counts once. APIs C and D have the id in the body, the others in the header \
`Idempotency-Key`. The same id with the same request returns the stored response, with `Idempotent-Replay: true`.

**Rate limit.** {_LIMIT.updates} accepted updates per player in any {_LIMIT.window:.0f} seconds by default, exact over \
all processes. `RateLimit` has the updates left, `Retry-After` the seconds to wait.

**Caching.** Responses to reads have an `ETag`. Send it as `If-None-Match` to get 304 if nothing changed. `HEAD` works \
wherever `GET` does.

**Consistency.** Responses to reads and updates have a `Board-Version`. A client that sends the greatest version it \
has seen as `If-Board-Version` reads its own updates and never an older board, even from other processes.

**Boards.** The service can have several boards, and `GET /api/v1/boards` lists them. Each has players, scores, ranks, \
action ids and rate limits of its own. The paths in this document are those of the board `main`. Behind the prefix \
`/boards/{{board}}` they are those of any board, such as `/boards/kart/api/v1/scores`, unless their `servers` say \
otherwise; so are the WebSockets, such as `/boards/kart/ws/leaderboard`. Action proofs name their board (`brd`).

**Query parameters** that a path does not know are an error (400). Parameters that defeat caches are not needed, \
because caches must revalidate each time. The pages and their files ignore the query.

**Errors** have the same shape everywhere, also for unknown paths: `error` is a code for programs, `message` a \
sentence for people. Request bodies are limited to {MAX_BODY // 1024} KiB, headers to {MAX_HEADERS // 1024} KiB, \
tokens to {MAX_TOKEN} characters.

**WebSockets** have no place in OpenAPI. `x-websockets` has their paths, messages and close codes, and so has \
`/asyncapi.json` as AsyncAPI."""

_BEARER: Json = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "A JSON Web Token with `sub` and `exp`. `leaderboard token --sub alice` prints one.",
}

BOARD_OPERATIONS: tuple[Operation, ...] = (
    *(operation for frontend in FRONTENDS for operation in operations_of_frontend(frontend)),
    *operations_of(PlayerEndpoints),
    *operations_of(HistoryEndpoints),
    *operations_of(TakeBackEndpoint),
    *operations_of(PeriodEndpoints),
)
"""The operations of each board, which are also behind the prefix `/boards/{board}`."""

OPERATIONS: tuple[Operation, ...] = (
    *BOARD_OPERATIONS,
    *operations_of(BoardListEndpoint),
    *operations_of(ModerationEndpoints),
    *operations_of(ProbeEndpoints),
)

_SERVER: Json = {"url": "/", "description": "The service that serves this document."}
_SERVERS: list[Json] = [
    {**_SERVER, "description": "The board `main` of the service that serves this document."},
    {
        "url": f"{PREFIX}{{board}}",
        "description": "Any board.",
        "variables": {
            "board": {"default": MAIN.name, "description": "Name of the board; GET /api/v1/boards lists them."}
        },
    },
]

ABOUT_WEBSOCKETS = (
    "The service sends a message after connecting, and whenever the top 10 changes; with `?period=NAME` also about the "
    "epochs of that period, and `?period=all` is all time. A token is optional: in the header "
    "`Authorization`, in the first message, or as `?token=`; URLs end up in logs, so prefer a message. Any other query "
    "parameter closes the socket with 4400. An error closes the socket with 44 and the last two digits of the HTTP "
    "status; the reason is the error code. Behind `/boards/{board}` the same paths are those of another board."
)

SOCKET_REFUSALS: Errors = (
    BadRequest,
    *CREDENTIALS,
    OriginNotAllowed,
    core_errors.BoardNotFound,
    core_errors.PeriodNotFound,
    TooManyConnections,
)
"""Errors that close a socket with 44 and the last two digits of the status."""

_AUTHENTICATE = handler.Authenticate("authenticate", "eyJhbGciOiJIUzI1NiIs…")
_PASSING = (RateLimited, TooManyConnections)


def document() -> Json:
    """The description, as `json.dumps` takes it. It needs no server and no database."""
    schemas = Schemas(OPERATIONS, FRONTENDS)
    responses = Responses(schemas)
    paths: Json = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas, responses)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Leaderboard",
            "summary": "A live top 10 through six APIs.",
            "description": _DESCRIPTION,
            "version": __version__,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": _SERVERS,
        "tags": [
            {"name": tag.name, "description": tag.description}
            for tag in dict.fromkeys(operation.tag for operation in OPERATIONS)
        ],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": responses.components,
            "parameters": parameters(OPERATIONS),
            "headers": HEADERS,
            "securitySchemes": {"bearerAuth": _BEARER},
        },
        "x-websockets": [
            websocket_item(frontend, path, schemas) for frontend in FRONTENDS for path, _ in frontend.sockets
        ],
        "x-errors": [_error(kind) for kind in sorted(_codes(), key=_order)],
    }


def _operation(operation: Operation, schemas: Schemas, responses: Responses) -> Json:
    found: Json = {
        "operationId": operation.id,
        "tags": [operation.tag.name],
        "summary": f"{operation.summary} {operation.access.sentence}".strip(),
        "security": list(operation.access.security),
    }
    if operation not in BOARD_OPERATIONS:
        found["servers"] = [_SERVER]
    if operation.parameters:
        found["parameters"] = [{"$ref": f"#/components/parameters/{key(it)}"} for it in operation.parameters]
    if operation.body is not None:
        body = {"application/json": content(operation.body, schemas)}
        found["requestBody"] = {"required": operation.body_required, "content": body}
    found["responses"] = responses.of(operation)
    if any(isinstance(outcome.example, Page) for outcome in operation.outcomes.values()):
        follow = {"operationId": operation.id, "parameters": {"query.after": "$response.body#/next"}}
        found["responses"]["200"]["links"] = {"next": follow}
    return found


# -- errors, for which OpenAPI has no place -----------------------------------------------------------


def _error(kind: type[LeaderboardError]) -> Json:
    return {"status": errors.status(kind()), "error": kind.code, "message": kind.message}


def _order(kind: type[LeaderboardError]) -> tuple[int, str]:
    return errors.status(kind()), kind.code


def _codes() -> set[type[LeaderboardError]]:
    """The errors with a code of their own."""
    names = {**vars(core_errors), **vars(messages), **vars(errors)}.values()
    kinds = {name for name in names if isinstance(name, type) and issubclass(name, LeaderboardError)}
    return {kind for kind in kinds if "code" in vars(kind)}


# -- WebSockets, for which OpenAPI has no place -------------------------------------------------------


def websocket_item(frontend: Frontend, path: str, schemas: Schemas) -> Json:
    """One socket, as an item of `x-websockets`."""
    return {
        "path": path,
        "tags": [tag(frontend).name],
        "summary": "The top 10, live",
        "description": ABOUT_WEBSOCKETS,
        "security": [{}, {"bearerAuth": []}],
        "sends": [_message(example, schemas) for example in (*frontend.messages, announcements.EXAMPLE)],
        "receives": [_message(_AUTHENTICATE, schemas)],
        "closes": list(_closes()),
    }


def _message(example: msgspec.Struct, schemas: Schemas) -> Json:
    return {"description": schemas.description(type(example)), **content(example, schemas)}


def _closes() -> Iterator[Json]:
    busy = errors.close_code(LeaderboardError())
    too_big = f"The client sent a message of more than {handler.MAX_MESSAGE // 1024} KiB."
    yield _close(connections.GOING_AWAY, "going away", "The service restarts. Connect again.", retry=True)
    yield _close(TOO_BIG, "", too_big, retry=False)
    yield _close(busy, "", "The service is overloaded or has failed. Connect again later.", retry=True)
    for kind in SOCKET_REFUSALS:
        message = "Too many failed attempts from this address." if kind is RateLimited else kind.message
        yield _close(errors.close_code(kind()), kind.code, message, retry=issubclass(kind, _PASSING))


def _close(code: int, reason: str, description: str, *, retry: bool) -> Json:
    """`retry`: whether the same handshake can succeed later without a change."""
    return {"code": code, "reason": reason, "description": description, "retry": retry}
