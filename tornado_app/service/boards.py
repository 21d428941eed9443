"""The boards that this process serves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tornado_app.api.board_routes import BoardRouter
from tornado_app.api.websocket.connections import ConnectionRegistry
from tornado_app.core.boards import MAIN, Board
from tornado_app.core.scoreboard import Scoreboard
from tornado_app.http.messages import Route, Router
from tornado_app.live.hub import Hub
from tornado_app.live.views import LiveView
from tornado_app.mongo.players.store import MongoStore


class ServedBoard(NamedTuple):
    """What belongs to one board in this process. Nothing of it is shared with another board."""

    definition: Board
    store: MongoStore
    live: LiveView
    scoreboard: Scoreboard
    routes: list[Route]


class Boards:
    """The served boards, `main` among them."""

    def __init__(
        self, boards: Iterable[ServedBoard], *, hub: Hub, router: BoardRouter, registry: ConnectionRegistry
    ) -> None:
        self._hub = hub
        self._router = router
        self._registry = registry
        self._served: dict[str, ServedBoard] = {}
        for served in boards:
            self._serve(served)

    def __getitem__(self, name: str) -> ServedBoard:
        return self._served[name]

    def __contains__(self, name: object) -> bool:
        return name in self._served

    def __iter__(self) -> Iterator[ServedBoard]:
        """The boards: `main`, then the others by name."""
        return iter(sorted(self._served.values(), key=lambda served: _place(served.definition)))

    @property
    def ready(self) -> bool:
        """Whether ranks and top 10 of all served boards are known."""
        return all(served.live.ready for served in self._served.values())

    async def wait_ready(self) -> None:
        """Wait until each board has been ready."""
        for served in self:
            await served.live.wait_ready()

    async def close(self) -> None:
        """Answer all waiting actions, and accept no more."""
        await asyncio.gather(*(served.store.close() for served in self))

    def _serve(self, served: ServedBoard) -> None:
        name = served.definition.name
        self._served[name] = served
        self._router.boards[name] = Router(served.routes)
        self._registry.topics[name] = self._hub.topic(served.live.view)


def _place(board: Board) -> tuple[bool, str]:
    return board.name != MAIN.name, board.name
