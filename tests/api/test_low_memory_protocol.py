"""A socket drops its handshake request, with the pinned version of Tornado."""

import asyncio
import weakref
from typing import ClassVar

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketHandler, WebSocketProtocol13, websocket_connect

from tests.support.wait import eventually
from tornado_app.api.websocket import protocol
from tornado_app.api.websocket.protocol import low_memory_protocol

PATIENCE = 10.0


class Echo(WebSocketHandler):
    """Echoes messages, and fails on demand."""

    opened: ClassVar = []

    def get_websocket_protocol(self):
        return low_memory_protocol(super().get_websocket_protocol())

    def open(self):
        self.opened.append(self)

    async def on_message(self, message):
        if message == "fail":
            raise RuntimeError("on purpose")
        await self.write_message(message)


@pytest.fixture
async def client(monkeypatch):
    """A client of an Echo in this process."""
    monkeypatch.setattr(Echo, "opened", [])
    server = HTTPServer(Application([("/", Echo)], log_function=lambda handler: None))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    async with asyncio.timeout(PATIENCE):
        client = await websocket_connect(f"ws://127.0.0.1:{sockets[0].getsockname()[1]}/")
    yield client
    client.close()
    server.stop()
    await all_gone()
    async with asyncio.timeout(PATIENCE):
        await server.close_all_connections()


async def all_gone():
    # Private, because the protocol is known only by its memory and its reading task.
    await eventually(lambda: not protocol._reading, PATIENCE, "no task reads any more")


async def test_open_connection_drops_the_handshake_request(client):
    (handler,) = Echo.opened
    assert type(handler.ws_connection) is protocol.LowMemoryProtocol
    connection = weakref.ref(handler.request.connection)
    handler.request.connection = None
    await eventually(lambda: connection() is None, PATIENCE, "the HTTP connection is let go of")
    running = [task.get_coro().__qualname__ for task in asyncio.all_tasks()]
    assert "RequestHandler._execute" not in running
    assert "LowMemoryProtocol._read" in running


async def test_messages_are_exchanged_and_the_close_is_orderly(client):
    async with asyncio.timeout(PATIENCE):
        for message in ("one", "two", "three"):
            await client.write_message(message)
            assert await client.read_message() == message
        Echo.opened[0].close(4401, "on purpose")
        assert await client.read_message() is None
    assert (client.close_code, client.close_reason) == (4401, "on purpose")
    await all_gone()


async def test_failing_handler_closes_the_connection(client, caplog):
    async with asyncio.timeout(PATIENCE):
        await client.write_message("fail")
        assert await client.read_message() is None
    await all_gone()
    assert "on purpose" in caplog.text


async def test_malformed_close_frame_closes_the_connection_without_an_error(client, caplog):
    # Tornado's client sends no malformed frames by its public methods.
    client.protocol._write_frame(fin=True, opcode=8, data=b"\x03\xe8\xff\xff")
    async with asyncio.timeout(PATIENCE):
        assert await client.read_message() is None
    await all_gone()
    assert not caplog.records


async def test_cancelled_reader_closes_the_connection(client):
    await eventually(lambda: protocol._reading, PATIENCE)
    next(iter(protocol._reading)).cancel()
    async with asyncio.timeout(PATIENCE):
        assert await client.read_message() is None
    await all_gone()


def test_other_protocol_class_is_unchanged():
    class Newer(WebSocketProtocol13):
        pass

    newer = object.__new__(Newer)
    assert low_memory_protocol(newer) is newer
    assert low_memory_protocol(None) is None
