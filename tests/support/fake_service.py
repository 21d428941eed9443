"""A fake service: it serves the page's files, and the socket and the demo as the test controls them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from email.utils import format_datetime
from importlib.resources import files
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; "
    "img-src 'self' https: http: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
DEADLINE = 10.0
BOARD = r"(?:/boards/[a-z0-9-]+)?"
BLANK = "<!doctype html><html lang=en><title>blank</title>"


@dataclass(frozen=True)
class Player:
    """One player as a test names it; the id is made of the name unless given."""

    username: str
    score: int
    avatar: str | None = None
    id: str | None = None


@dataclass(frozen=True)
class Reply:
    """What the next score update is answered with."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Session:
    """What `/demo/session` answers."""

    token: str = "t-1"
    user_id: str = "me"
    username: str = "Robin"
    actions: dict[str, int] = field(default_factory=lambda: {"level_complete": 50, "enemy_defeated": 5})


def places(players: Sequence[Player]) -> list[dict[str, Any]]:
    """The board as the socket sends it, with competition ranks."""
    ordered = sorted(players, key=lambda player: -player.score)[:10]
    ranks = {score: 1 + sum(p.score > score for p in ordered) for score in {p.score for p in ordered}}
    return [
        {
            "userId": player.id or player.username,
            "username": player.username,
            "avatarUrl": player.avatar,
            "score": player.score,
            "rank": ranks[player.score],
            "position": position,
        }
        for position, player in enumerate(ordered, start=1)
    ]


def update(rows: Sequence[dict[str, Any]], version: int) -> dict[str, Any]:
    """A `leaderboard.update`."""
    return {"type": "leaderboard.update", "data": {"updatedPositions": list(rows)}, "version": version}


class FakeService:
    """The server. `show` and `send` reach every open socket; `heard` and `posts` are received messages and requests.

    `time`: that of the header Date of the periods; None: the real one. `results`: rows by epoch.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.version = 1
        self.sockets: set[Socket] = set()
        self.connections = 0
        self.heard: list[dict[str, Any]] = []
        self.uris: list[str] = []
        self.reads: list[str] = []
        self.mute = False
        self.refusal: tuple[int, str] | None = None
        self.bad_tokens: set[str] = set()
        self.boards: list[dict[str, Any]] = [{"name": "main", "rule": "sum", "order": "descending", "players": 0}]
        self.periods: list[dict[str, Any]] = []
        self.shows: str | None = None
        self.period_reads = 0
        self.time: datetime | None = None
        self.results: dict[int, list[dict[str, Any]]] = {}
        self.session: Session | None = None
        self.sessions = 0
        self.posts: list[tuple[str, dict[str, Any]]] = []
        self.replies: list[Reply] = []
        self._received = asyncio.Event()
        self._port = 0
        self._server: HTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/"

    async def start(self) -> None:
        """Listen; after `stop` on the same port again."""
        shared = {"fake_service": self}
        routes = [
            (r"(?:/boards/([^/]+))?/ws/leaderboard", Socket, shared),
            (r"/api/v1/boards", Boards, shared),
            (rf"{BOARD}/api/v1/periods", Periods, shared),
            (rf"{BOARD}/api/v1/periods/[a-z0-9]+/([0-9]+)/leaderboard", Result, shared),
            (r"/demo/session", DemoSession, shared),
            (rf"{BOARD}/(?:api/scores/update|api/v1/scores)", Update, shared),
            (rf"{BOARD}/api/leaderboard", Standing, shared),
            (r"/(blank|favicon\.ico)?", Page, shared),
            (r"/static/([\w.-]+)", Static, shared),
        ]
        self._server = HTTPServer(Application(routes, log_function=lambda handler: None))
        sockets = bind_sockets(self._port, "127.0.0.1")
        self._port = sockets[0].getsockname()[1]
        self._server.add_sockets(sockets)

    async def stop(self, code: int = 1001) -> None:
        """Close every socket as a shutdown does, and stop listening."""
        if self._server is None:
            return
        self.close(code, "going away")
        self._server.stop()
        await self._server.close_all_connections()
        self._server = None

    def close(self, code: int, reason: str) -> None:
        """Close every socket."""
        for socket in list(self.sockets):
            socket.close(code, reason)

    def show(self, players: Sequence[Player]) -> None:
        """Change the board, and send the changes."""
        before, self.rows = self.rows, places(players)
        self.version += 1
        changed = [row for row in self.rows if row not in before]
        empty = {"userId": None, "username": None, "avatarUrl": None, "score": None, "rank": None}
        changed += [{**empty, "position": at + 1} for at in range(len(self.rows), len(before))]
        self.send(update(changed, self.version))

    def send(self, message: dict[str, Any]) -> None:
        """Send a message to every open socket."""
        for socket in list(self.sockets):
            IOLoop.current().add_callback(socket.send, message)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a received message or request makes `condition` true."""
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self._received.clear()
                await self._received.wait()

    def notify(self) -> None:
        """Check the conditions of `until` again."""
        self._received.set()


class Socket(WebSocketHandler):
    def initialize(self, fake_service: FakeService) -> None:
        self._service = fake_service

    async def open(self, board: str | None) -> None:
        fake_service = self._service
        fake_service.connections += 1
        fake_service.uris.append(self.request.uri or "")
        if board and board not in [each["name"] for each in fake_service.boards]:
            self.close(4404, "board_not_found")
        elif fake_service.refusal is not None:
            self.close(*fake_service.refusal)
        else:
            fake_service.sockets.add(self)
            if not fake_service.mute:
                await self.send(update(fake_service.rows, fake_service.version))
        fake_service.notify()

    async def send(self, message: dict[str, Any]) -> None:
        with suppress(WebSocketClosedError):  # the page may leave at any time
            await self.write_message(json.dumps(message))

    def on_message(self, message: str | bytes) -> None:
        heard = json.loads(message)
        self._service.heard.append(heard)
        if heard["token"] in self._service.bad_tokens:
            self.close(4401, "invalid_token")
        self._service.notify()

    def on_close(self) -> None:
        self._service.sockets.discard(self)
        self._service.notify()


class Handler(RequestHandler):
    def initialize(self, fake_service: FakeService) -> None:
        self._service = fake_service

    def set_default_headers(self) -> None:
        self.set_header("Content-Security-Policy", CSP)
        self.set_header("Cache-Control", "no-store")


class Page(Handler):
    def get(self, which: str | None) -> None:
        if which == "blank":
            self.write(BLANK)
        elif which is None:
            html = files("tornado_app.web").joinpath("index.html").read_text("utf-8")
            meta = '<meta name="leaderboard-demo" content="true">' if self._service.session else ""
            self.write(html.replace("<!--demo-->", meta))
        else:
            self.set_status(204)


class Static(Handler):
    def get(self, name: str) -> None:
        self.set_header("Content-Type", TYPES[name.rpartition(".")[2]])
        folder = files("tornado_app.web")
        found = next(file for file in (folder / name, folder / "client" / name) if file.is_file())
        self.write(found.read_bytes())


class Boards(Handler):
    def get(self) -> None:
        if not self._service.boards:
            raise HTTPError(503)
        self.write({"boards": self._service.boards})


class Periods(Handler):
    def get(self) -> None:
        self._service.period_reads += 1
        if self._service.time is not None:
            self.set_header("Date", format_datetime(self._service.time, usegmt=True))
        self.write({"periods": self._service.periods, "shows": self._service.shows})


class Result(Handler):
    def get(self, epoch: str) -> None:
        self.write({"players": self._service.results[int(epoch)], "next": None})


class DemoSession(Handler):
    def get(self) -> None:
        if self._service.session is None:
            raise HTTPError(404)
        self._service.sessions += 1
        self.write(asdict(self._service.session))


class Standing(Handler):
    def get(self) -> None:
        self._service.reads.append(self.request.uri or "")
        session = self._service.session or Session()
        mine = [row for row in self._service.rows if row["userId"] == session.user_id]
        better = [row["score"] for row in self._service.rows if mine and row["score"] > mine[0]["score"]]
        following = {"score": min(better), "points": min(better) - mine[0]["score"]} if better else None
        own = {"rank": mine[0]["rank"], "score": mine[0]["score"], "next": following} if mine else None
        self.write({"userRank": own} if own else {})


class Update(Handler):
    def post(self) -> None:
        fake_service = self._service
        fake_service.posts.append((self.request.headers.get("Authorization", ""), json.loads(self.request.body)))
        reply = fake_service.replies.pop(0)
        self.set_status(reply.status)
        for name, value in reply.headers.items():
            self.set_header(name, value)
        self.write(reply.body)
        fake_service.notify()
