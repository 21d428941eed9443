"""The prefix `/boards/{board}` and the query argument `period`, which choose the view of a request.

All paths of a board exist behind its prefix, and those of `main` also without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import parse_qs

from tornado_app.core.boards import ALL_TIME, MAIN, View
from tornado_app.core.errors import BoardNotFound, PeriodNotFound
from tornado_app.http.messages import NotFound, Route, Router
from tornado_app.http.request_log import clip

PREFIX = "/boards/"

MAX_LISTED = 10
"""Maximum names in the message of an error."""


def split(path: str) -> tuple[str, str]:
    """The board of a path, and the path without the prefix."""
    if not path.startswith(PREFIX):
        return MAIN.name, path
    board, slash, rest = path.removeprefix(PREFIX).partition("/")
    return board, slash + rest


def period_of(query: str) -> str | None:
    """The query argument `period`; None without it."""
    if "period" not in query:
        return None
    values = parse_qs(query, keep_blank_values=True).get("period")
    return None if values is None else values[-1]


class BoardRouter(Router):
    """Finds the route of a path in a view. `routes`: those that belong to no board; `views`: those of each view.

    `View(board)` is what a request without a period reads, `View(board, ALL_TIME)` the scores of all time. Routes have
    no prefix in their own path, so the labels of metrics and logs are the same for all boards.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        super().__init__(routes)
        self.views: dict[View, Router] = {}

    def find(self, path: str, query: str = "") -> tuple[Route, dict[str, str]]:
        """As in the base class. Raises BoardNotFound and PeriodNotFound too."""
        name, rest = split(path)
        board = self.views.get(View(name))
        if board is None:
            raise board_not_found(name, self.views)
        try:
            route, params = board.find(rest)
        except NotFound:
            if rest is not path:  # there is a prefix
                raise
            return super().find(path)
        period = period_of(query)
        if period is None or "period" not in (route.arguments or ()):
            return route, params
        view = self.views.get(View(name, period))
        if view is None:
            raise period_not_found(period, periods_of(name, self.views))
        return view.find(rest)


def periods_of(board: str, views: Iterable[View]) -> list[str]:
    """The names of a board's periods among the views that requests name."""
    return [view.period for view in views if view.board == board and view.period not in (None, ALL_TIME)]


def board_not_found(name: str, views: Iterable[View]) -> BoardNotFound:
    """The message names the boards of these views."""
    boards = [view.board for view in views if view.period is None]
    detail = f"board {clip(name)} is not in boards_file"
    return BoardNotFound(_listing(BoardNotFound.message, boards), detail=detail)


def period_not_found(name: str, periods: Sequence[str]) -> PeriodNotFound:
    """The message names these periods, which are all of the board."""
    message = _listing(PeriodNotFound.message, periods) if periods else "The board has no periods."
    return PeriodNotFound(message, detail=f"the board has no period {clip(name)} in boards_file")


def _listing(message: str, names: Sequence[str]) -> str:
    """A message that ends with these names, or with the first of many."""
    more = ["…"] if len(names) > MAX_LISTED else []
    return f"{message.removesuffix('.')}: {', '.join([*names[:MAX_LISTED], *more])}."
