"""The WebSocket handlers: handshake, authentication, and the connection that the hub writes to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from typing import Annotated, Any, Literal

import msgspec
from tornado.httputil import HTTPHeaders, HTTPServerConnectionDelegate
from tornado.iostream import IOStream
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler, WebSocketProtocol

from tornado_app.api.authentication import bearer, has_credentials
from tornado_app.api.board_routes import PREFIX, board_not_found, period_of, split
from tornado_app.api.frontends.base import Frontend
from tornado_app.api.rest.routes import SOCKET_ARGUMENTS
from tornado_app.api.websocket.announcements import is_announced
from tornado_app.api.websocket.connections import ConnectionRegistry
from tornado_app.api.websocket.heartbeat import Heartbeat
from tornado_app.api.websocket.protocol import low_memory_protocol
from tornado_app.core.boards import View
from tornado_app.core.errors import ExpiredToken, InvalidToken, LeaderboardError
from tornado_app.core.origins import same_host
from tornado_app.http import errors, request_checks, request_log
from tornado_app.http.messages import NotFound
from tornado_app.http.stream import DirectWriter, HttpStream, stream_of
from tornado_app.live.hub import Channel, Subscriber
from tornado_app.observability import logs

log = logging.getLogger("leaderboard.sockets")

MAX_MESSAGE = 8 * 1024
"""Maximum bytes of a client's message; an `authenticate` message with a token of MAX_TOKEN characters is smaller."""

SEND_BUFFER = 64 * 1024
"""Size of the send buffer in the kernel for one client. While it is full, the hub replaces messages by newer ones."""

MAX_TIMER = 86_400.0
"""Maximum seconds of the expiry timer. With a token that is valid for longer, a client authenticates after a day."""


class Authenticate(msgspec.Struct):
    """The only message that a client sends: its token, after connecting or to replace one that expires."""

    type: Literal["authenticate"]  # no tag: msgspec takes a tagged message without its tag
    token: Annotated[str, msgspec.Meta(description="A JSON Web Token.")]


_NO_HEADERS = HTTPHeaders()

_decode = msgspec.json.Decoder(Authenticate).decode


class _JsonRefusals(RequestHandler):
    """Refuses a handshake by an error response in the API's shape, instead of Tornado's HTML."""

    _address: str

    def set_default_headers(self) -> None:
        """Add the request's id, and remove the version of Tornado."""
        self.clear_header("Server")
        self.set_header("X-Request-Id", logs.request_id.get() or "")

    def refuse(self, refusal: LeaderboardError) -> None:
        answer = errors.response(refusal)
        asked = {"method": self.request.method, "path": self.request.path, "remote": self._address}
        request_log.request_refused(answer.status, refusal, **asked)
        self.set_status(answer.status)
        for name, value in answer.headers:
            self.set_header(name, value)
        self.finish(answer.body)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Called by Tornado for a handshake that it refuses, and for an exception."""
        self.refuse(errors.BadRequest() if status_code < 500 else LeaderboardError())


class SocketHandler(_JsonRefusals, WebSocketHandler):
    """One client of one channel."""

    def initialize(self, registry: ConnectionRegistry, heartbeat: Heartbeat, channel: Channel) -> None:
        """Called by Tornado with the route's arguments."""
        self.pong = False
        self._registry = registry
        self._heartbeat = heartbeat
        self._channel = channel
        self._address = registry.address(self.request)
        self._subscriber: Subscriber | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._page: tuple[str | None, str | None] = (None, None)
        self._began = time.monotonic()

    def prepare(self) -> None:
        """Refuse an incomplete handshake. Keep the headers about its page for `open`, whose refusal a script can read.

        Tornado would judge these headers itself, by 403 in plain text, and by 500 where they are malformed.
        """
        headers = self.request.headers
        self._page = headers.pop("Origin", None), headers.pop("Sec-Fetch-Site", None)
        connection = [option.strip().lower() for option in headers.get("Connection", "").split(",")]
        version = headers.get("Sec-WebSocket-Version")
        if "upgrade" not in connection or version != "13" or not headers.get("Sec-WebSocket-Key"):
            self.refuse(errors.UpgradeRequired())

    def check_origin(self, origin: str) -> bool:
        """True: `open` checks the origin, and refuses it by a close code."""
        return True

    async def open(self, *args: str, **kwargs: str) -> None:
        """Add the client, or close the connection with an error."""
        registry = self._registry
        connection: Any = self.ws_connection
        stream: HttpStream = connection.stream
        if stream.closed():
            return  # the client has closed the connection
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        stream.set_nodelay(True)
        stream.on_upgrade()
        self._heartbeat.join(self)
        try:
            self._check_page()
            board, _ = split(self.request.path)
            period = period_of(self.request.query)
            topic = registry.topic(board, period)
            request_checks.check_query(self.request.query, SOCKET_ARGUMENTS)
            registry.check_limits(self._address)
            token = self._handshake_token()
            self._subscriber = subscriber = Subscriber(
                topic, self._channel, _Connection(stream, self), announced=is_announced(period)
            )
            if token is not None:
                await self._authenticate(token)
                if registry.topic(board, period) is not topic:
                    raise board_not_found(board, registry.topics)  # removed, and added again
        except LeaderboardError as refusal:
            self._refuse(refusal)
            return
        if connection.is_closing():
            return  # the client has closed the connection
        registry.add(self, self._channel.name, self._address)
        registry.hub.join(subscriber)
        self._forget_handshake()

    async def on_message(self, message: str | bytes) -> None:
        """Authenticate by a token, the first one or a newer one. Any other message is ignored."""
        if self.ws_connection is None:
            return  # refused, and the client has not received the close frame yet
        try:
            token = _decode(message.removeprefix("\ufeff") if isinstance(message, str) else message).token
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        try:
            await self._authenticate(token)
        except LeaderboardError as refusal:
            self._refuse(refusal)

    def on_close(self) -> None:
        request_log.socket_ended(self._channel.name, self._address, self.close_code, time.monotonic() - self._began)
        if self._expiry is not None:
            self._expiry.cancel()
        self._heartbeat.leave(self)
        self._registry.remove(self, self._channel.name, self._address)
        if self._subscriber is not None:
            self._registry.hub.leave(self._subscriber)
            self._subscriber = None  # it refers to this object

    @property
    def view(self) -> View | None:
        """The view that it shows, while the WebSocket is open."""
        return None if self._subscriber is None else self._subscriber.topic.view

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Close the connection; nothing may be sent after the close frame."""
        self._heartbeat.leave(self)
        if self._subscriber is not None:
            self._registry.hub.leave(self._subscriber)
        super().close(code, reason)

    def evict(self, reason: str) -> None:
        """Abort the connection of a client that does not read; it would not read a close frame either."""
        self._registry.metrics.evictions.labels(reason).inc()
        log.info(
            "client does not read, WebSocket aborted",
            extra={"event": "eviction", "reason": reason, "frontend": self._channel.name},
        )
        if (stream := stream_of(self.ws_connection)) is not None:
            stream.abort()

    # -- heartbeat.HeartbeatClient ----------------------------------------------------------------------------

    def send_ping(self) -> None:
        with contextlib.suppress(WebSocketClosedError):  # on_close follows
            self.ping()

    def on_pong(self, data: bytes) -> None:
        self.pong = True

    def timed_out(self) -> None:
        self._registry.metrics.evictions.labels("silent").inc()
        self.close(reason="ping timed out")

    # ---------------------------------------------------------------------------------------------

    def get_websocket_protocol(self) -> WebSocketProtocol | None:
        """Called by Tornado."""
        return low_memory_protocol(super().get_websocket_protocol())

    def _forget_handshake(self) -> None:
        """Free the memory of the headers, and of the HTTP connection."""
        request: Any = self.request
        request.headers = _NO_HEADERS
        request.connection = None

    def _check_page(self) -> None:
        """Raises OriginNotAllowed. Sources: RFC 6455, section 10.2; W3C Fetch Metadata, which pages cannot forge."""
        origin, site = self._page
        if origin is None or site == "same-origin" or self._registry.cors.allows(origin):
            return
        host = self.request.headers.get("Host", "")
        if not same_host(origin, host):
            shown, here = request_log.clip(origin), request_log.clip(host)
            raise errors.OriginNotAllowed(detail=f"origin {shown} is not in allowed_origins, nor this host, {here}")

    def _handshake_token(self) -> str | None:
        tokens = self.request.query_arguments.get("token")
        if tokens:
            return tokens[-1].decode("ascii", "replace")
        return bearer(self.request.headers) if has_credentials(self.request.headers) else None

    async def _authenticate(self, token: str) -> None:
        caller = await self._registry.authenticator.verify(token, self._address)
        if self.ws_connection is None:
            return  # closed while the token's key was fetched: on_close, which leaves the hub, has run
        if self._subscriber is None:
            raise InvalidToken
        self._registry.hub.identify(self._subscriber, caller.user_id)
        if self._expiry is not None:
            self._expiry.cancel()
        loop = asyncio.get_running_loop()
        remaining = caller.expires_at - time.time()
        expired = ExpiredToken(reason="expired", detail="while the WebSocket was open, and no new token was sent")
        self._expiry = loop.call_later(min(max(remaining, 0.0), MAX_TIMER), self._refuse, expired)

    def _refuse(self, refusal: LeaderboardError) -> None:
        self._registry.metrics.socket_refusals.labels(refusal.code).inc()
        code = errors.close_code(refusal)
        request_log.socket_refused(self._channel.name, self._address, code, refusal)
        self.close(code, refusal.code)


class _Connection(DirectWriter):
    """The live.hub.Connection of a handler."""

    __slots__ = ("_handler",)

    def __init__(self, stream: IOStream, handler: SocketHandler) -> None:
        super().__init__(stream)
        self._handler = handler

    def evict(self, reason: str) -> None:
        self._handler.evict(reason)


class _NoSocket(_JsonRefusals):
    """A handshake for a path without a WebSocket."""

    def initialize(self, registry: ConnectionRegistry) -> None:
        """Called by Tornado with the route's arguments."""
        self._address = registry.address(self.request)

    def prepare(self) -> None:
        self.refuse(NotFound())


def application(
    frontends: tuple[Frontend, ...], registry: ConnectionRegistry, *, ping_interval: float = 30.0
) -> HTTPServerConnectionDelegate:
    """The Tornado application of the WebSockets. A client that does not answer a ping in `ping_interval` is closed."""
    shared = {"registry": registry, "heartbeat": Heartbeat(ping_interval)}
    return Application(
        [
            (f"(?:{PREFIX}[^/]*)?{path}", SocketHandler, shared | {"channel": channel})
            for frontend in frontends
            for path, channel in frontend.sockets
        ],
        default_handler_class=_NoSocket,
        default_handler_args={"registry": registry},
        websocket_max_message_size=MAX_MESSAGE,
        log_function=lambda handler: None,  # its log lines would contain the URL, which may contain a token
    )
