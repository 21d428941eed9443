"""A local identity provider that can fail in every way, in the event loop of the test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler


class Provider:
    """Serves `body` with `status` and `headers`; `requests` lists the paths; a cleared `gate` delays the responses."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.status = 200
        self.headers: dict[str, str] = {}
        self.requests: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._server = HTTPServer(Application([(".*", _Handler, {"provider": self})]))
        sockets = bind_sockets(0, "127.0.0.1")
        self.port = sockets[0].getsockname()[1]
        self._server.add_sockets(sockets)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/jwks"

    async def aclose(self) -> None:
        self.gate.set()
        self._server.stop()
        await self._server.close_all_connections()


class _Handler(RequestHandler):
    def initialize(self, provider: Provider) -> None:
        self.provider = provider

    async def get(self) -> None:
        self.provider.requests.append(self.request.path)
        await self.provider.gate.wait()
        self.set_status(self.provider.status)
        for name, value in self.provider.headers.items():
            self.set_header(name, value)
        self.write(self.provider.body)


async def until(condition: Callable[[], object], within: float = 5.0) -> None:
    """Waits until the condition holds, and fails after `within` seconds."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110  (the condition is the outside's, which sets no event)
            await asyncio.sleep(0.005)
