"""Tornado's HTTP server with limits of connections and timeouts, on streams that answer errors in the API's shape.

The connections of a process are limited to its file descriptors, less a reserve that clients cannot use. Without this
limit, a process whose descriptors are used up cannot accept connections, and retries in a busy loop.
"""

from __future__ import annotations

import logging
import resource
import socket
import ssl
import time
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPConnection, HTTPMessageDelegate, HTTPServerConnectionDelegate
from tornado.iostream import IOStream
from tornado.netutil import ssl_wrap_socket

from tornado_app.http import tornado_internals
from tornado_app.http.connection_timeouts import IdleTimeouts, LingeringCloser, SendTimeouts
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

RESERVED_FDS = 128
"""File descriptors for the database, the metrics port, files and logs."""

MAX_OPEN_FILES = 1 << 20
PURGE_INTERVAL = 256
"""Closed connections are purged after this many new ones."""

LOG_INTERVAL = 60.0
"""Minimum seconds between two log lines."""


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


def max_open_files() -> int:
    """The limit of open files of this process, after raising it as far as allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:
            log.warning("cannot raise the limit of open files, keeping %d: %s", soft, error)
            return soft
    return wanted if soft == resource.RLIM_INFINITY else max(soft, wanted)


class ConnectionLimiter:
    """Counts open connections. `maximum`: by default what the limit of open files allows."""

    def __init__(self, maximum: int | None = None) -> None:
        self._maximum = max(16, max_open_files() - RESERVED_FDS) if maximum is None else maximum
        self._streams: set[IOStream] = set()
        self._accepted = 0
        self._logged_at = -LOG_INTERVAL

    def has_capacity(self) -> bool:
        """Whether one more connection may be served; a refusal is logged."""
        self._accepted += 1
        if self._accepted % PURGE_INTERVAL == 0 or len(self._streams) >= self._maximum:
            self._streams = {stream for stream in self._streams if not stream.closed()}
        if len(self._streams) >= self._maximum:
            self._log_refusal()
            return False
        return True

    def add(self, stream: IOStream) -> None:
        """Count a connection until it is closed."""
        self._streams.add(stream)

    def _log_refusal(self) -> None:
        now = time.monotonic()
        if now - self._logged_at >= LOG_INTERVAL:
            self._logged_at = now
            log.error("connection limit reached, refusing connections", extra={"open": len(self._streams)})
