"""The prefix `/boards/{board}`: all paths of a board exist behind it, and those of `main` also without it."""

from __future__ import annotations

from collections.abc import Iterable

from tornado_app.core.boards import MAIN
from tornado_app.core.errors import BoardNotFound
from tornado_app.http.messages import Route, Router
from tornado_app.http.request_log import clip

PREFIX = "/boards/"


def split(path: str) -> tuple[str, str]:
    """The board of a path, and the path without the prefix."""
    if not path.startswith(PREFIX):
        return MAIN.name, path
    board, slash, rest = path.removeprefix(PREFIX).partition("/")
    return board, slash + rest


class BoardRouter(Router):
    """Finds the route of a path. `routes`: those without a prefix; `boards`: by name, those behind the prefix.

    Routes have no prefix in their own path, so the labels of metrics and logs are the same for all boards.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        super().__init__(routes)
        self.boards: dict[str, Router] = {}

    def find(self, path: str) -> tuple[Route, dict[str, str]]:
        """As in the base class. Raises BoardNotFound too."""
        if not path.startswith(PREFIX):
            return super().find(path)
        name, rest = split(path)
        board = self.boards.get(name)
        if board is None:
            raise board_not_found(name)
        return board.find(rest)


def board_not_found(name: str) -> BoardNotFound:
    return BoardNotFound(detail=f"board {clip(name)} is not in boards_file")
