"""What the WebSockets send, receive and close with, for the OpenAPI and the AsyncAPI document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tornado_app.api.frontends.base import Frontend
from tornado_app.api.openapi.operations import CREDENTIALS, Errors, tag
from tornado_app.api.openapi.schemas import Json, Schemas
from tornado_app.api.websocket import connections, handler
from tornado_app.api.websocket.protocol import TOO_BIG
from tornado_app.core.errors import LeaderboardError, RateLimited, TooManyConnections
from tornado_app.http import errors
from tornado_app.http.errors import BadRequest, OriginNotAllowed

ABOUT = (
    "Any query argument but `token` closes the socket with 4400. "
    "A token is optional: as `Authorization`, as the first message, or as `?token=`, though what a URL holds ends up "
    "in logs. A refusal closes the socket with 44 and the last two digits of the HTTP status, and the code as the "
    "reason. Nothing is sent while the top 10 stays as it is."
)

REFUSALS: Errors = (BadRequest, *CREDENTIALS, OriginNotAllowed, TooManyConnections)
"""What closes a socket with 44 and the last two digits of the status."""

_PASSING = (RateLimited, TooManyConnections)


def socket(frontend: Frontend, path: str, schemas: Schemas) -> Json:
    """One socket, as an item of `x-websockets`."""
    return {
        "path": path,
        "tags": [tag(frontend)],
        "summary": "The top 10, live",
        "description": ABOUT,
        "security": [{}, {"bearerAuth": []}],
        "sends": [_message(kind, schemas) for kind in frontend.messages],
        "receives": [_message(handler.Authenticate, schemas)],
        "closes": list(_closes()),
    }


def _message(kind: type[Any], schemas: Schemas) -> Json:
    return {
        "description": schemas.description(kind),
        "schema": schemas.reference(kind),
        "example": schemas.example(kind),
    }


def _closes() -> Iterator[Json]:
    busy = errors.close_code(LeaderboardError())
    too_big = f"A message of more than {handler.MAX_MESSAGE // 1024} KiB."
    yield _close(connections.GOING_AWAY, "going away", "The service restarts: connect again.", retry=True)
    yield _close(TOO_BIG, "", too_big, retry=False)
    yield _close(busy, "", "The service cannot serve now: connect again later.", retry=True)
    for kind in REFUSALS:
        message = "Too many failed attempts from this address." if kind is RateLimited else kind.message
        yield _close(errors.close_code(kind()), kind.code, message, retry=issubclass(kind, _PASSING))


def _close(code: int, reason: str, description: str, *, retry: bool) -> Json:
    """`retry`: whether the same handshake can succeed later without a change."""
    return {"code": code, "reason": reason, "description": description, "retry": retry}
