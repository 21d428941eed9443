"""Tornado and nothing else: fixed bytes at `/`, and a socket at `/ws` that says hello and then only pings.

python -m bench.peers.bare BYTES PING_SECONDS
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from bench.peers.listening import ready, serve


class Fixed(RequestHandler):
    def initialize(self, body: bytes) -> None:
        self._body = body

    def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(self._body)


class Quiet(WebSocketHandler):
    def check_origin(self, origin: str) -> bool:
        return True

    def open(self, *args: str, **kwargs: str) -> None:
        self.write_message('{"score":0}')

    def on_message(self, message: str | bytes) -> None:
        """Messages of clients are ignored."""


def nothing(_handler: RequestHandler | HTTPServerRequest) -> None:
    """No access log, as the service writes none."""


async def main(size: int, ping: float) -> None:
    routes: list[Any] = [("/", Fixed, {"body": b"x" * size}), ("/ws", Quiet)]
    url = serve(Application(routes, log_function=nothing, websocket_ping_interval=ping))
    ready(url)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
