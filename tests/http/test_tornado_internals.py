"""What http/tornado_internals.py and http/stream.py rely on is so in the pinned version of Tornado."""

import asyncio
import inspect
import socket
from collections import deque
from unittest.mock import Mock

import pytest
from tornado import http1connection
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream, UnsatisfiableReadError
from tornado.web import Application

from tests.support.wait import eventually
from tornado_app.http import tornado_internals
from tornado_app.http.stream import MAX_HEAD

PATIENCE = 10.0


@pytest.fixture
async def ends():
    """A stream, and the socket at its other end."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(PATIENCE)
    stream = IOStream(ours)
    with theirs:
        yield stream, theirs
        stream.close()


def test_bare_bad_request_is_the_literal_that_tornado_writes():
    literal = repr(tornado_internals.BARE_BAD_REQUEST).replace("'", '"')
    assert f"self.stream.write({literal})" in inspect.getsource(http1connection.HTTP1Connection)


def test_head_is_read_by_read_until_regex_and_chunk_lines_by_read_until():
    source = inspect.getsource(http1connection.HTTP1Connection)
    assert source.count("read_until_regex(") == 1
    assert "self.stream.read_until_regex(" in inspect.getsource(http1connection.HTTP1Connection._read_message_inner)
    assert "self.stream.read_until(" in inspect.getsource(http1connection.HTTP1Connection._read_chunked_body)


@pytest.mark.parametrize("arrives", ["before the read", "after it"])
async def test_head_past_its_maximum_closes_the_stream_with_the_error(ends, monkeypatch, arrives):
    stream, client = ends
    monkeypatch.setattr(stream, "close", Mock(wraps=stream.close))
    sending = asyncio.to_thread(client.sendall, b"x" * (MAX_HEAD + 1))
    if arrives == "before the read":
        await sending
    reading = stream.read_until_regex(b"\r?\n\r?\n", max_bytes=MAX_HEAD)
    if arrives == "after it":
        await sending
    await eventually(stream.closed, PATIENCE)
    assert isinstance(stream.close.call_args.kwargs["exc_info"], UnsatisfiableReadError)
    assert reading.exception() is not None


async def test_disable_header_timeout_leaves_requests_without_a_timer():
    server = HTTPServer(Application())
    assert server.conn_params.header_timeout is not None
    tornado_internals.disable_header_timeout(server)
    assert server.conn_params.header_timeout is None
    assert "if self.params.header_timeout is None:" in inspect.getsource(http1connection.HTTP1Connection)


async def test_has_unread_bytes_counts_bytes_read_and_not_consumed(ends):
    stream, client = ends
    assert not tornado_internals.has_unread_bytes(stream)
    client.sendall(b"abc")
    async with asyncio.timeout(PATIENCE):
        assert await stream.read_bytes(2) == b"ab"
        assert tornado_internals.has_unread_bytes(stream)
        assert await stream.read_bytes(1) == b"c"
    assert not tornado_internals.has_unread_bytes(stream)


def test_has_unread_bytes_without_the_internal_is_true():
    assert tornado_internals.has_unread_bytes(object())


async def test_handle_readable_reads_even_if_the_kernel_has_nothing(ends, monkeypatch):
    stream, _ = ends
    calls = []
    monkeypatch.setattr(stream, "read_from_fd", lambda buf: calls.append(len(buf)))
    reading = stream.read_until(b"x")
    calls.clear()
    tornado_internals.handle_readable(stream)
    assert len(calls) == 1
    stream.close()
    with pytest.raises(Exception, match="closed"):
        await reading


async def test_pending_writes_is_empty_while_nothing_waits(ends):
    stream, client = ends
    pending = tornado_internals.pending_writes(stream)
    assert type(pending) is deque
    assert not pending
    sending = stream.write(b"x" * 10_000_000)
    assert pending
    read = await asyncio.to_thread(read_bytes, client, 10_000_000)
    assert read == 10_000_000
    async with asyncio.timeout(PATIENCE):
        await sending
    assert not pending
    assert tornado_internals.pending_writes(stream) is pending


def read_bytes(client, size):
    read = 0
    while read < size:
        read += len(client.recv(65536))
    return read


@pytest.mark.parametrize("other", [None, [], ()])
async def test_pending_writes_of_an_unknown_kind_are_never_empty(ends, monkeypatch, other):
    stream, _ = ends
    monkeypatch.setattr(stream, "_write_futures", other)
    assert tornado_internals.pending_writes(stream)


async def test_pending_writes_of_a_closed_stream_are_never_empty(ends):
    stream, _ = ends
    stream.close()
    assert tornado_internals.pending_writes(stream)


async def test_stream_of_a_connection_is_its_stream_until_it_is_detached(ends):
    stream, _ = ends
    connection = http1connection.HTTP1Connection(stream, is_client=False)
    assert tornado_internals.stream_of(connection) is stream
    connection.detach()
    assert tornado_internals.stream_of(connection) is None
    assert tornado_internals.stream_of(None) is None
