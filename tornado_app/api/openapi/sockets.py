"""What the WebSockets send, receive and close with, for the OpenAPI and the AsyncAPI document."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tornado_app.api.frontends.base import Frontend
from tornado_app.api.openapi.components import Json, Schemas, content
from tornado_app.api.rest.operations import CREDENTIALS, Errors
from tornado_app.api.rest.routes import tag
from tornado_app.api.websocket import connections, handler
from tornado_app.api.websocket.protocol import TOO_BIG
from tornado_app.core.errors import LeaderboardError, RateLimited, TooManyConnections
from tornado_app.http import errors
from tornado_app.http.errors import BadRequest, OriginNotAllowed

ABOUT = (
    "The service sends a message after connecting, and whenever the top 10 changes. A token is optional: in the header "
    "`Authorization`, in the first message, or as `?token=`; URLs end up in logs, so prefer a message. Any other query "
    "parameter closes the socket with 4400. An error closes the socket with 44 and the last two digits of the HTTP "
    "status; the reason is the error code."
)

REFUSALS: Errors = (BadRequest, *CREDENTIALS, OriginNotAllowed, TooManyConnections)
"""Errors that close a socket with 44 and the last two digits of the status."""

_AUTHENTICATE = handler.Authenticate("authenticate", "eyJhbGciOiJIUzI1NiIs…")
_PASSING = (RateLimited, TooManyConnections)


def socket(frontend: Frontend, path: str, schemas: Schemas) -> Json:
    """One socket, as an item of `x-websockets`."""
    return {
        "path": path,
        "tags": [tag(frontend).name],
        "summary": "The top 10, live",
        "description": ABOUT,
        "security": [{}, {"bearerAuth": []}],
        "sends": [_message(example, schemas) for example in frontend.messages],
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
    for kind in REFUSALS:
        message = "Too many failed attempts from this address." if kind is RateLimited else kind.message
        yield _close(errors.close_code(kind()), kind.code, message, retry=issubclass(kind, _PASSING))


def _close(code: int, reason: str, description: str, *, retry: bool) -> Json:
    """`retry`: whether the same handshake can succeed later without a change."""
    return {"code": code, "reason": reason, "description": description, "retry": retry}
