"""The responses of errors: their shape, their status codes and WebSocket close codes."""

from __future__ import annotations

import math
import re

import msgspec

from tornado_app.core import errors
from tornado_app.core.errors import InsufficientScope, LeaderboardError, MissingToken, Unauthenticated
from tornado_app.http import messages
from tornado_app.http.messages import JSON_TYPE, Refusal, Response


class BodyTooLarge(LeaderboardError):
    """The body is larger than MAX_BODY."""

    code = "body_too_large"
    message = "The request body is too large."


class HeadersTooLarge(LeaderboardError):
    """The target and the headers are larger than MAX_HEADERS."""

    code = "headers_too_large"
    message = "The request headers are too large."


class UnsupportedMediaType(LeaderboardError):
    """The body is not declared as JSON in UTF-8."""

    code = "unsupported_media_type"
    message = "The request body must be application/json in UTF-8."


class BadRequest(LeaderboardError):
    """The request is not HTTP, or one of its headers or query arguments is invalid."""

    code = "invalid_request"
    message = "The request is malformed."


class OriginNotAllowed(errors.Forbidden):
    """A page of an origin that is not allowed opens a WebSocket."""

    code = "origin_not_allowed"
    message = "Pages of this origin are not allowed to connect."


class HostNotAllowed(LeaderboardError):
    """The request addresses a host that is not in allowed_hosts, as after DNS rebinding."""

    code = "host_not_allowed"
    message = "This host name is not allowed. To allow it, add it to the setting allowed_hosts."


class UpgradeRequired(LeaderboardError):
    """A request without a WebSocket handshake for the path of a WebSocket."""

    code = "upgrade_required"
    message = "This path requires a WebSocket handshake, version 13."


OVER_HTTP_1_0 = "WebSockets require HTTP/1.1, but this handshake uses HTTP/1.0. In nginx, set proxy_http_version 1.1."
WITHOUT_UPGRADE = (
    "The WebSocket handshake has no header Upgrade. The proxy must forward it: in nginx, set "
    "proxy_http_version 1.1, proxy_set_header Upgrade $http_upgrade and proxy_set_header Connection upgrade."
)

STATUS: tuple[tuple[type[LeaderboardError], int], ...] = (
    (errors.InvalidJson, 400),
    (errors.InvalidBody, 400),
    (errors.InvalidIncrement, 400),
    (errors.OutOfBounds, 400),
    (errors.UnknownActionType, 400),
    (BadRequest, 400),
    (errors.Unauthenticated, 401),
    (errors.Forbidden, 403),
    (errors.BoardNotFound, 404),
    (errors.PeriodNotFound, 404),
    (errors.ResultNotFinal, 409),
    (errors.ResultFinal, 409),
    (errors.PlayerNotFound, 404),
    (errors.ActionNotFound, 404),
    (messages.NotFound, 404),
    (messages.MethodNotAllowed, 405),
    (errors.ActionConflict, 409),
    (errors.WrongRule, 409),
    (BodyTooLarge, 413),
    (UnsupportedMediaType, 415),
    (HostNotAllowed, 421),
    (UpgradeRequired, 426),
    (errors.RateLimited, 429),
    (errors.TooManyConnections, 429),
    (HeadersTooLarge, 431),
    (errors.DatabaseError, 500),
    (errors.CaptchaUnavailable, 503),
    (errors.Overloaded, 503),
    (errors.ShuttingDown, 503),
    (LeaderboardError, 500),
)


_TEMPORARY = (errors.DatabaseError, errors.Overloaded, errors.ShuttingDown)
"""Errors that end soon: their response has a Retry-After."""


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every error response."""

    error: str
    message: str


TRY_AGAIN_LATER = 1013

_NOT_IN_CHALLENGE = re.compile(r"[^ !#-\[\]-~]")
"""Characters that are not allowed in an `error_description`. Source: RFC 6750, section 3."""


def status(error: LeaderboardError) -> int:
    return next(code for kind, code in STATUS if isinstance(error, kind))


def close_code(error: LeaderboardError) -> int:
    """The WebSocket close code of an error: 44 and the last two digits of the status.

    For an error that the client did not cause it is 1013, try again later (IANA registry of close codes).
    """
    code = status(error)
    return 4400 + code % 100 if code < 500 else TRY_AGAIN_LATER


def response(error: LeaderboardError) -> Response:
    """The response of an error, with headers for the client's next step."""
    headers = [JSON_TYPE]
    wait = 1.0 if error.retry_after is None and isinstance(error, _TEMPORARY) else error.retry_after
    if wait is not None:
        headers.append(("Retry-After", str(max(1, math.ceil(wait)))))
    if isinstance(error, Unauthenticated | InsufficientScope):
        headers.append(("WWW-Authenticate", _challenge(error)))
    if isinstance(error, UpgradeRequired):
        headers += [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")]
    body = msgspec.json.encode(ErrorBody(error.code, error.text))
    return Response(status(error), body, tuple(headers), Refusal(error.code, error.reason, error.detail))


def _challenge(error: LeaderboardError) -> str:
    """The value of WWW-Authenticate; without a token it has no error. Source: RFC 6750, section 3.

    The error's text may contain the name of a claim from the settings, which can have any characters.
    """
    if isinstance(error, MissingToken):
        return 'Bearer realm="leaderboard"'
    code = "insufficient_scope" if isinstance(error, InsufficientScope) else "invalid_token"
    description = _NOT_IN_CHALLENGE.sub("?", error.text)
    return f'Bearer realm="leaderboard", error="{code}", error_description="{description}"'
