"""The address of the socket for an address that a person types, and the connection to it."""

from __future__ import annotations

import asyncio

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from tests.watch.messages import epoch_message, message, place
from tornado_app.core.errors import StartupError
from tornado_app.watch import connection
from tornado_app.watch.connection import socket_address


@pytest.mark.parametrize(
    ("given", "socket"),
    [
        ("http://127.0.0.1:8000", "ws://127.0.0.1:8000/ws/leaderboard"),
        ("http://127.0.0.1:8000/", "ws://127.0.0.1:8000/ws/leaderboard"),
        ("https://play.example.com", "wss://play.example.com/ws/leaderboard"),
        ("https://play.example.com/game/?token=secret#top", "wss://play.example.com/game/ws/leaderboard"),
        ("ws://[::1]:8000/ws/leaderboard", "ws://[::1]:8000/ws/leaderboard"),
        ("wss://play.example.com:444/ws/leaderboard/", "wss://play.example.com:444/ws/leaderboard"),
        ("localhost:8000", "ws://localhost:8000/ws/leaderboard"),
    ],
)
def test_address_in_any_form_gives_the_socket_url(given, socket):
    assert socket_address(given) == socket


@pytest.mark.parametrize(
    ("given", "socket"),
    [
        ("https://play.example.com/game/", "wss://play.example.com/game/boards/kart/ws/leaderboard"),
        ("ws://[::1]:8000/ws/leaderboard", "ws://[::1]:8000/boards/kart/ws/leaderboard"),
    ],
)
def test_address_with_a_board_gives_the_socket_url_of_the_board(given, socket):
    assert socket_address(given, "kart") == socket
    assert socket_address(given, "kart", "weekly") == f"{socket}?period=weekly"


@pytest.mark.parametrize(
    "given",
    ["", "ftp://host", "http://", "http://host:port", "http://[::1", "http://a b", "http://u:p@host", "x\x1b[2J"],
)
def test_invalid_address_is_refused_and_not_printed(given):
    with pytest.raises(StartupError, match=r"give the service's, such as http://127\.0\.0\.1:8000") as refused:
        socket_address(given)
    assert "u:p" not in str(refused.value)
    assert "\x1b" not in str(refused.value)


class Seen:
    """A View that remembers."""

    def __init__(self):
        self.events: asyncio.Queue = asyncio.Queue()

    def update(self, board, changes):
        self.events.put_nowait(("update", [(change.place.user_id, change.place.score) for change in changes]))

    def announced(self, epoch):
        self.events.put_nowait(("announced", epoch.epoch, epoch.left))

    def lost(self, since, reason):
        self.events.put_nowait(("lost", reason))


class FakeServer:
    """A server in place of the service; what its socket sends and how it ends is up to the test."""

    def __init__(self):
        self.sockets: list[WebSocketHandler] = []
        self.greeting = [message(1, place(1, "ann", 50))]
        server = self

        class Socket(WebSocketHandler):
            def open(self):
                server.sockets.append(self)
                for text in server.greeting:
                    self.write_message(text)

        class Page(RequestHandler):
            def get(self):
                self.write("not a leaderboard")

        class NoBoard(WebSocketHandler):
            def open(self):
                self.close(4404, "board_not_found")

        class NoPeriod(WebSocketHandler):
            def open(self):
                self.close(4404, "period_not_found")

        routes = [
            ("/ws/leaderboard", Socket),
            ("/page/ws/leaderboard", Page),
            ("/boards/x/ws/leaderboard", NoBoard),
            ("/boards/y/ws/leaderboard", NoPeriod),
        ]
        app = Application(routes)
        self.server = HTTPServer(app)
        sockets = bind_sockets(0, "127.0.0.1")
        self.port = sockets[0].getsockname()[1]
        self.server.add_sockets(sockets)
        self.address = f"ws://127.0.0.1:{self.port}/ws/leaderboard"

    async def close(self):
        self.server.stop()
        for socket in self.sockets:
            if socket.ws_connection is not None:
                socket.ws_connection.stream.close()
        await self.server.close_all_connections()


@pytest.fixture
async def server():
    server = FakeServer()
    yield server
    await server.close()


async def test_cut_connection_is_reopened_and_only_later_changes_are_new(server):
    seen = Seen()
    task = asyncio.create_task(connection.follow(server.address, seen, first_delay=0.01))
    try:
        async with asyncio.timeout(20):
            assert await seen.events.get() == ("update", [("ann", 50)])
            server.greeting = [message(2, place(1, "ann", 60), place(2, "bob", 1))]
            server.sockets[0].close(1001, "going away")
            assert await seen.events.get() == ("lost", "the service was stopped")
            assert await seen.events.get() == ("update", [("ann", 60), ("bob", 1)])
            server.sockets[1].ws_connection.stream.close()
            assert await seen.events.get() == ("lost", "the connection broke")
            assert await seen.events.get() == ("update", [])
            await server.close()
            assert (await seen.events.get())[0] == "lost"
            assert (await seen.events.get())[1] == "Connection refused; is the service running there?"
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_announced_epoch_reaches_the_view(server):
    seen = Seen()
    server.greeting.append(epoch_message(15, "2040-01-02T10:01:00.000Z"))
    task = asyncio.create_task(connection.follow(server.address, seen))
    try:
        async with asyncio.timeout(20):
            assert await seen.events.get() == ("update", [("ann", 50)])
            assert await seen.events.get() == ("announced", 15, 30.5)
            server.sockets[0].write_message(epoch_message(16, None))
            assert await seen.events.get() == ("announced", 16, None)
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_first_connection_without_a_board_fails(server):
    cases = {
        "ws://127.0.0.1:1/ws/leaderboard": "Connection refused; is the service running there?",
        f"ws://127.0.0.1:{server.port}/page/ws/leaderboard": r"it answers, but there is no leaderboard",
        f"ws://127.0.0.1:{server.port}/boards/x/ws/leaderboard": "the service has no such board",
        f"ws://127.0.0.1:{server.port}/boards/y/ws/leaderboard?period=z": "the board has no such period",
        f"ws://127.0.0.1:{server.port}/nothing": r"there is no leaderboard \(HTTP 404\)",
        f"wss://127.0.0.1:{server.port}/ws/leaderboard": "does not (answer|use TLS)",
    }
    for address, reason in cases.items():
        with pytest.raises(StartupError, match=reason):
            await connection.follow(address, Seen(), first_answer=0.3)
    server.greeting = ["hello"]
    with pytest.raises(StartupError, match="not those of a leaderboard"):
        await connection.follow(server.address, Seen(), first_answer=0.3)
    server.greeting = []
    with pytest.raises(StartupError, match="sends no board"):
        await connection.follow(server.address, Seen(), first_answer=0.3)


async def test_server_without_the_protocol_is_refused():
    async def talk(reader, writer):
        writer.write(b"SSH-2.0-Something\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(StartupError, match="does not answer"):
            await connection.follow(f"ws://127.0.0.1:{port}/ws/leaderboard", Seen())
