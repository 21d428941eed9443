"""The OpenAPI 3.1 description of the API, made from the code's own types: `leaderboard openapi` and `/openapi.json`.

OpenAPI has no WebSockets: `x-websockets` lists them with their messages and close codes, `x-errors` every error code.
Source: https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

from tornado_app import __version__
from tornado_app.api.frontends import FRONTENDS
from tornado_app.api.frontends.base import Frontend
from tornado_app.api.openapi import sockets
from tornado_app.api.openapi.moderation import MODERATION, TAG
from tornado_app.api.openapi.operations import Operation, operations, tag
from tornado_app.api.openapi.responses import HEADERS, PARAMETERS, Responses
from tornado_app.api.openapi.schemas import Json, Schemas
from tornado_app.api.rest.players import Page
from tornado_app.core import errors as core_errors
from tornado_app.core.errors import LeaderboardError
from tornado_app.core.identity import MAX_TOKEN, USER_ID_FORM
from tornado_app.core.model import Scope
from tornado_app.core.policies import RateLimit
from tornado_app.http import errors, messages
from tornado_app.http.messages import MAX_HEADERS
from tornado_app.http.request_limits import MAX_BODY

_LIMIT = RateLimit()

_DESCRIPTION = f"""\
Five frontends over one board: a point scored through any of them is seen through all of them.

**Who is calling.** `Authorization: Bearer <JWT>`. The player is the token's `sub`, or `user_id` where there is no \
`sub`; the first of `nickname`, `preferred_username` and `name` that is no e-mail address, and `picture`, fill the \
player's profile (settings may name other claims). A user id is {USER_ID_FORM}; in a path it is percent-encoded. \
With the scope `{Scope.WRITE}` it is a game server's token, which may write for any player.

**Exactly once.** An action with an id counts once: frontends C and D carry it in the body, the others in the header \
`Idempotency-Key`. The same id with the same request gets the stored answer again, with `Idempotent-Replay: true`.

**Rate limit.** {_LIMIT.updates} accepted updates for each player in any {_LIMIT.window:.0f} seconds, unless set \
otherwise, exact over all processes. `RateLimit` tells what is left, `Retry-After` when to come again.

**Reading.** Answers carry an `ETag`: send it as `If-None-Match` and get 304 where nothing changed. `HEAD` works \
wherever `GET` does.

**Never back in time.** Answers of reads and updates carry `Board-Version`. A client that sends the greatest one seen \
as `If-Board-Version` reads its own updates, and sees nothing older than it has seen, over any number of processes.

**Query arguments** that a path does not know are refused with 400. That includes cache-busters, which the API does \
not need: a cache has to ask again each time. The pages and their files ignore the query.

**Errors** have one shape everywhere, unknown paths included: `error` is a code for programs, `message` a sentence for \
people. A body may have {MAX_BODY // 1024} KiB, the headers {MAX_HEADERS // 1024} KiB, \
a token {MAX_TOKEN} characters.

**Live.** The WebSockets, for which OpenAPI has no place, are in `x-websockets`, and as AsyncAPI in \
`/asyncapi.json`: paths, messages, close codes."""

_BEARER: Json = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "A JSON Web Token with `sub` and `exp`. `leaderboard token --sub alice` prints one.",
}
_SECURITY: dict[str, list[Json]] = {"none": [], "optional": [{}, {"bearerAuth": []}], "required": [{"bearerAuth": []}]}


def document() -> Json:
    """The whole description, as what `json.dumps` takes. Needs no server and no database."""
    schemas = Schemas(FRONTENDS)
    responses = Responses(schemas)
    paths: Json = {}
    for operation in [*operations(FRONTENDS), *MODERATION]:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas, responses)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Leaderboard",
            "summary": "A live top 10 through five frontends.",
            "description": _DESCRIPTION,
            "version": __version__,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "Where this document came from."}],
        "tags": [
            *(_tag(frontend) for frontend in FRONTENDS),
            {"name": "Players", "description": "The board beyond its top 10, and how a player is made."},
            {"name": TAG, "description": f"For tokens with the scope `{Scope.ADMIN}`; each request goes on record."},
            {"name": "Operations", "description": "What an orchestrator asks. `/metrics` has a port of its own."},
        ],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": responses.components,
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "securitySchemes": {"bearerAuth": _BEARER},
        },
        "x-websockets": [
            sockets.socket(frontend, path, schemas) for frontend in FRONTENDS for path, _ in frontend.sockets
        ],
        "x-errors": [_error(kind) for kind in sorted(_codes(), key=_order)],
    }


def _tag(frontend: Frontend) -> Json:
    live = " and ".join(f"`{path}`" for path, _ in frontend.sockets)
    return {"name": tag(frontend), "description": f"Live: {live or '`/ws/scoreboard`, having no socket of its own'}."}


def _operation(operation: Operation, schemas: Schemas, responses: Responses) -> Json:
    found: Json = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "security": _SECURITY[operation.token],
    }
    if operation.parameters:
        found["parameters"] = [{"$ref": f"#/components/parameters/{name}"} for name in operation.parameters]
    if operation.body is not None:
        content = {"schema": schemas.reference(operation.body), "example": schemas.example(operation.body)}
        found["requestBody"] = {"required": operation.body_required, "content": {"application/json": content}}
    found["responses"] = responses.of(operation)
    if any(outcome.kind is Page for outcome in operation.outcomes.values()):
        follow = {"operationId": operation.id, "parameters": {"query.after": "$response.body#/next"}}
        found["responses"]["200"]["links"] = {"next": follow}
    return found


# -- what OpenAPI has no place for --------------------------------------------------------------------


def _error(kind: type[LeaderboardError]) -> Json:
    return {"status": errors.status(kind()), "error": kind.code, "message": kind.message}


def _order(kind: type[LeaderboardError]) -> tuple[int, str]:
    return errors.status(kind()), kind.code


def _codes() -> set[type[LeaderboardError]]:
    """The errors with a code of their own."""
    names = {**vars(core_errors), **vars(messages), **vars(errors)}.values()
    kinds = {name for name in names if isinstance(name, type) and issubclass(name, LeaderboardError)}
    return {kind for kind in kinds if "code" in vars(kind)}
