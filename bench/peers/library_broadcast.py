"""`broadcast` of the library `websockets`, which leaves out who cannot take a message; no compression.

python -m bench.peers.library_broadcast PLAYERS NAME_TEMPLATE
"""

from __future__ import annotations

import asyncio
import json
import sys

from tornado.httputil import HTTPServerRequest
from tornado.web import Application, RequestHandler
from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import broadcast as send_to_all
from websockets.asyncio.server import serve as serve_sockets

from bench.peers.listening import BACKLOG, ready, serve
from bench.peers.memory_board import MemoryBoard


class Score(RequestHandler):
    def initialize(self, board: MemoryBoard, sockets: Server) -> None:
        self._board = board
        self._sockets = sockets

    def post(self, player: str) -> None:
        self._board.add(player, json.loads(self.request.body)["score"])
        send_to_all(self._sockets.connections, self._board.message())
        self.write({"success": True})


def nothing(_handler: RequestHandler | HTTPServerRequest) -> None:
    """No access log, as the service writes none."""


async def main(players: int, name: str) -> None:
    board = MemoryBoard(players, name)

    async def greet(connection: ServerConnection) -> None:
        await connection.send(board.message())
        await connection.wait_closed()

    async with serve_sockets(greet, "127.0.0.1", 0, compression=None, backlog=BACKLOG) as sockets:
        port = next(iter(sockets.sockets)).getsockname()[1]
        routes = [("/score/(.*)", Score, {"board": board, "sockets": sockets})]
        ready(serve(Application(routes, log_function=nothing)), f"ws://127.0.0.1:{port}/")
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
