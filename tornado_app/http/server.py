"""Tornado's HTTP server with limits of connections and timeouts, on streams that answer errors in the API's shape."""

from __future__ import annotations

import logging
import socket
import ssl
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPConnection, HTTPMessageDelegate, HTTPServerConnectionDelegate
from tornado.iostream import IOStream
from tornado.netutil import ssl_wrap_socket

from tornado_app.http import tornado_internals
from tornado_app.http.connection_limit import ConnectionLimiter
from tornado_app.http.idle_timeout import IdleTimeouts
from tornado_app.http.lingering_close import LingeringCloser
from tornado_app.http.send_timeout import SendTimeouts
from tornado_app.http.stream import (
    MAX_HEAD,
    HttpStream,
    RequestInterceptor,
    StreamServices,
    TlsHttpStream,
    stream_of,
)

log = logging.getLogger("leaderboard.http")

_NO_LIMIT = 1 << 40
"""tornado_delegate.py limits bodies, and answers; at its own limit Tornado would close the connection."""


def serve(
    delegate: HTTPServerConnectionDelegate,
    *,
    idle_timeout: float = 75.0,
    body_timeout: float = 10.0,
    send_timeout: float = 30.0,
    ssl_context: ssl.SSLContext | None = None,
    interceptor: RequestInterceptor | None = None,
) -> HTTPServer:
    """An HTTP server for `delegate`, not yet listening. Timeouts are in seconds."""
    server = _Server(delegate, body_timeout=body_timeout, max_body_size=_NO_LIMIT, max_header_size=MAX_HEAD)
    tornado_internals.disable_header_timeout(server)
    idle_timeouts = IdleTimeouts(idle_timeout)
    send_timeouts = SendTimeouts(send_timeout, idle_timeouts)
    lingering_closer = LingeringCloser(send_timeouts.take_over)
    server.services = StreamServices(idle_timeouts, send_timeouts, lingering_closer, interceptor)
    server.ssl_context = ssl_context
    return server


class _Server(HTTPServer):
    services: StreamServices
    ssl_context: ssl.SSLContext | None

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        super().initialize(*args, **kwargs)
        self._limiter = ConnectionLimiter()

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Serve a new connection on a stream of this package; the one that Tornado made has not been used yet."""
        if not self._limiter.has_capacity():
            stream.close()
            return
        own = self._own_stream(stream.socket, str(address[0]) if address else "")
        if own is not None:
            self._limiter.add(own)
            self.services.send_timeouts.start()
            super().handle_stream(own, address)

    def _own_stream(self, connection: socket.socket, peer: str) -> HttpStream | None:
        if self.ssl_context is None:
            return HttpStream(connection, peer, self.services)
        try:
            wrapped = ssl_wrap_socket(connection, self.ssl_context, server_side=True, do_handshake_on_connect=False)
        except OSError as error:  # the client is gone already
            log.debug("no TLS with %s: %s", peer, error)
            connection.close()
            return None
        return TlsHttpStream(wrapped, peer, self.services)

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        stream = stream_of(request_conn)
        if stream is not None:
            stream.on_idle()
        return super().start_request(server_conn, request_conn)

    async def close_all_connections(self) -> None:
        await super().close_all_connections()
        self.services.lingering_closer.close()
        self.services.idle_timeouts.close()
        self.services.send_timeouts.close()
