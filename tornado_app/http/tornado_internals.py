"""Everything that the HTTP engine uses of Tornado beyond its documented API.

tests/http/test_tornado_internals.py checks each item against the pinned version. The WebSockets use one more, in
api/websocket/protocol.py.
"""

from __future__ import annotations

import socket
from collections import deque
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream

BARE_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\n\r\n"
"""Tornado's response to a malformed request, before it closes the stream."""

_UNKNOWN = ("it is not known whether the stream has pending writes",)


def disable_header_timeout(server: HTTPServer) -> None:
    """Create no timer for each request: IdleTimeouts has one for all connections."""
    server.conn_params.header_timeout = None


def stream_of(connection: object) -> object:
    """The stream of an HTTP or WebSocket connection of Tornado; None after it was closed or detached."""
    return getattr(connection, "stream", None)


def has_unread_bytes(stream: IOStream) -> bool:
    """Whether the stream has read bytes that nothing has consumed yet; True if a later Tornado does not report it."""
    return bool(getattr(stream, "_read_buffer_size", 1))


def handle_readable(stream: IOStream) -> None:
    """Have the stream read, as when its socket is readable."""
    stream._handle_events(stream.fileno(), IOLoop.READ)


def pending_writes(stream: IOStream) -> deque[Any] | tuple[str, ...]:
    """A deque that is empty as long as nothing waits in the stream to be sent; it stays the same object.

    For a stream that is closed or uses TLS, and where a later Tornado does not have it, a value that is never empty.
    """
    pending = getattr(stream, "_write_futures", None)
    plain = type(getattr(stream, "socket", None)) is socket.socket
    return pending if plain and type(pending) is deque else _UNKNOWN
