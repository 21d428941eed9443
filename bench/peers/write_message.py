"""The live board of Tornado's chat demo: a set of handlers, and `write_message` to each of them on every update.

python -m bench.peers.write_message PLAYERS NAME_TEMPLATE
"""

from __future__ import annotations

import asyncio
import json
import sys

from tornado.httputil import HTTPServerRequest
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from bench.peers.listening import ready, serve
from bench.peers.memory_board import MemoryBoard


class Live(WebSocketHandler):
    def initialize(self, board: MemoryBoard, waiters: set[Live]) -> None:
        self._board = board
        self._waiters = waiters

    def check_origin(self, origin: str) -> bool:
        return True

    def open(self, *args: str, **kwargs: str) -> None:
        self._waiters.add(self)
        self.write_message(self._board.message())

    def on_message(self, message: str | bytes) -> None:
        """Messages of clients are ignored."""

    def on_close(self) -> None:
        self._waiters.discard(self)


class Score(RequestHandler):
    def initialize(self, board: MemoryBoard, waiters: set[Live]) -> None:
        self._board = board
        self._waiters = waiters

    def post(self, player: str) -> None:
        self._board.add(player, json.loads(self.request.body)["score"])
        message = self._board.message()
        for waiter in list(self._waiters):
            try:
                waiter.write_message(message)
            except WebSocketClosedError:
                self._waiters.discard(waiter)
        self.write({"success": True})


def nothing(_handler: RequestHandler | HTTPServerRequest) -> None:
    """No access log, as the service writes none."""


async def main(players: int, name: str) -> None:
    parts = {"board": MemoryBoard(players, name), "waiters": set[Live]()}
    url = serve(Application([("/score/(.*)", Score, parts), ("/ws", Live, parts)], log_function=nothing))
    ready(url)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
