"""`GET /api/v1/boards`: the boards that are served."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tornado_app.api.rest.operations import ANY, Operation, Tag, cached, handles, routes_of
from tornado_app.api.rest.params import IF_NONE_MATCH
from tornado_app.api.schema import Total
from tornado_app.core.boards import MAIN, NAME_PATTERN, Board, Bounds, Order, Rule
from tornado_app.http.conditional import PUBLIC, json_response
from tornado_app.http.messages import Request, Response, Route

TAG = Tag("Boards", "The boards that are served. All paths of a board are behind `/boards/{board}`.")

BoardName = Annotated[str, Meta(pattern=f"^{NAME_PATTERN}$", description="Name of the board.")]


class BoardBounds(msgspec.Struct, omit_defaults=True):
    """The lowest and the highest value that may be submitted; one may be missing."""

    min: int | UnsetType = UNSET
    max: int | UnsetType = UNSET


class BoardRow(msgspec.Struct):
    """A board."""

    name: BoardName
    rule: Annotated[Rule, Meta(description="What a submitted value does to the score.")]
    order: Annotated[Order, Meta(description="Which scores are first.")]
    players: Total
    bounds: BoardBounds | UnsetType = UNSET


class BoardList(msgspec.Struct):
    """The boards: `main`, then the others by name."""

    boards: list[BoardRow]


_KART = Board("kart", Rule.BEST, Order.ASCENDING, Bounds(15_000, 3_600_000))


def _row(board: Board, players: int) -> BoardRow:
    return BoardRow(board.name, board.rule, board.order, players, _bounds(board.bounds))


def _bounds(bounds: Bounds | None) -> BoardBounds | UnsetType:
    if bounds is None:
        return UNSET
    low, high = (UNSET if bound is None else bound for bound in (bounds.min, bounds.max))
    return BoardBounds(low, high)


class BoardListEndpoint:
    """The endpoint. `boards` returns each served board with its number of players, in the order of the response."""

    def __init__(self, boards: Callable[[], Iterable[tuple[Board, int]]]) -> None:
        self._boards = boards

    def routes(self) -> list[Route]:
        return routes_of(self)

    @handles(
        Operation(
            method="GET",
            path="/api/v1/boards",
            tag=TAG,
            summary="List the boards.",
            outcomes=cached(BoardList([_row(MAIN, 2), _row(_KART, 0)])),
            errors=ANY,
            parameters=(IF_NONE_MATCH,),
        )
    )
    def get(self, request: Request) -> Response:
        found = BoardList([_row(board, players) for board, players in self._boards()])
        return json_response(request, msgspec.json.encode(found), PUBLIC)
