"""Follows the board's socket: the first connection must succeed, later ones are retried for ever."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncGenerator
from typing import NoReturn, Protocol
from urllib.parse import urlsplit

from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClientConnection, WebSocketError, websocket_connect

from tornado_app.core.errors import StartupError
from tornado_app.runtime.backoff import backoff
from tornado_app.runtime.tasks import jittered
from tornado_app.watch.state import Board, Change, Epoch, NotALeaderboard

SOCKET = "/ws/leaderboard"
"""Frontend C's socket. Source: the API contract, section 4."""

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}

FIRST_ANSWER = 10.0
"""Seconds for a service to answer, and then to send the board."""

PING_INTERVAL, PING_TIMEOUT = 15.0, 10.0
"""Seconds: a dead connection is detected within their sum."""

BACKOFF, LONGEST_BACKOFF = 0.5, 15.0
"""Seconds before the first retry, and the maximum; doubled each time, with jitter."""

GOING_AWAY = 1001


def socket_address(url: str, board: str | None = None, period: str | None = None) -> str:
    """`wss://host/ws/leaderboard` for `https://host`; no scheme is `http`. A `board` is `/boards/NAME` before it, and a
    `period` `?period=NAME` after it.

    A path is that of the service behind a proxy (`https://host/game`), unless it is the socket's own. Query and
    fragment are dropped, because they may contain a token. Raises StartupError.
    """
    text = url.strip()
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _refusal("is no address") from None
    if parts.scheme not in _SCHEMES:
        raise _refusal(f"begins with {parts.scheme}://")
    if parts.username is not None or parts.password is not None:
        raise _refusal("contains a user name or a password, which the board does not need")
    if not host or not all(c.isprintable() and c != " " for c in text):
        raise _refusal("names no host" if not host else "contains a space or a control character")
    path = parts.path.rstrip("/").removesuffix(SOCKET) + (f"/boards/{board}" if board else "")
    authority = f"[{host}]" if ":" in host else host
    query = f"?period={period}" if period else ""
    return f"{_SCHEMES[parts.scheme]}://{authority}{'' if port is None else f':{port}'}{path}{SOCKET}{query}"


def _refusal(reason: str) -> StartupError:
    return StartupError(f"the address {reason}; give the service's, such as http://127.0.0.1:8000")


class View(Protocol):
    """Shows the board."""

    def update(self, board: Board, changes: list[Change]) -> None:
        """The board after a message. The first call after `lost` means that the connection is back."""

    def announced(self, epoch: Epoch) -> None:
        """The open epoch of the period: after connecting, and when it or its end changes."""

    def lost(self, since: float, reason: str) -> None:
        """Disconnected since that time (seconds since the epoch); called again for each failed attempt."""


class Failure(Exception):
    """A failed or broken connection; the message completes a sentence."""


async def follow(
    address: str, view: View, *, first_answer: float = FIRST_ANSWER, first_delay: float = BACKOFF
) -> NoReturn:
    """Update `view` until cancelled. Raises StartupError if the first connection sends no board.

    `first_answer`: seconds until a connection must be open, and send the board. `first_delay`: seconds before the first
    reconnection.
    """
    board = Board()
    failures, since = 0, 0.0
    while True:
        board.reconnected()
        try:
            async with contextlib.aclosing(_messages(address, first_answer)) as messages:
                async for message in messages:
                    found = board.take(message)
                    if isinstance(found, Epoch):
                        view.announced(found)
                    elif found is not None:
                        view.update(board, found)
                        failures, since = 0, 0.0
        except NotALeaderboard:
            reason = "its messages are not those of a leaderboard"
        except Failure as failure:
            reason = str(failure)
        if not board.seen:
            raise StartupError(f"{address}: {reason}")
        since = since or time.time()
        view.lost(since, reason)
        failures += 1
        await asyncio.sleep(jittered(backoff(failures, first_delay, LONGEST_BACKOFF)))


async def _messages(address: str, first_answer: float) -> AsyncGenerator[str | bytes]:
    """The messages of one connection. Ends only by raising Failure."""
    connection = await _connect(address, first_answer)
    try:
        try:
            async with asyncio.timeout(first_answer):
                message = await connection.read_message()
        except TimeoutError:
            raise Failure("it sends no board; is this the address of a leaderboard?") from None
        while message is not None:
            yield message
            message = await connection.read_message()
        raise Failure(_why_closed(connection))
    finally:
        connection.close()


async def _connect(address: str, first_answer: float) -> WebSocketClientConnection:
    request = HTTPRequest(address, connect_timeout=first_answer, request_timeout=first_answer)
    try:
        async with asyncio.timeout(first_answer + 1):
            return await websocket_connect(request, ping_interval=PING_INTERVAL, ping_timeout=PING_TIMEOUT)
    except TimeoutError:
        raise Failure("it does not answer") from None
    except HTTPClientError as error:
        raise Failure(_why_refused(error)) from None
    except WebSocketError:
        raise Failure("it answers, but there is no leaderboard") from None
    except (StreamClosedError, ConnectionResetError):
        raise Failure("it does not answer as a web server does") from None
    except ssl.SSLCertVerificationError as error:
        trust = "SSL_CERT_FILE may name the authority to trust"
        raise Failure(f"its certificate is not trusted ({error.verify_message}); {trust}") from None
    except ssl.SSLError:
        raise Failure("it does not use TLS; try http:// instead of https://") from None
    except OSError as error:
        raise Failure(f"{error.strerror or error}; is the service running there?") from None


def _why_refused(error: HTTPClientError) -> str:
    if error.code == 599:
        return f"it does not answer ({error.message})"
    location = error.response.headers.get("Location") if error.response is not None else None
    moved = f"; it points to {location}" if location else ""
    return f"it answers, but there is no leaderboard (HTTP {error.code}){moved}"


def _why_closed(connection: WebSocketClientConnection) -> str:
    if connection.close_code == GOING_AWAY:
        return "the service was stopped"
    if connection.close_code is None:
        return "the connection broke"
    if connection.close_reason == "board_not_found":
        return "the service has no such board; GET /api/v1/boards lists them"
    if connection.close_reason == "period_not_found":
        return "the board has no such period; GET /api/v1/periods of the board lists them"
    return f"the service closed the connection ({connection.close_code} {connection.close_reason or ''}".rstrip() + ")"
