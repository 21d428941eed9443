"""The requests by which a client scores, for the bots and the curl lines: on `main` through each of the five frontends
that add points, on other boards through API F."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from tornado_app.core.boards import Board, Bounds, Order, Rule
from tornado_app.core.periods import Every, Period

Json = dict[str, Any]


class Move(NamedTuple):
    """A move of a player: `points` for frontends that accept points, else an action of the server's table."""

    user_id: str
    points: int
    action_type: str
    unique: str


class Game(NamedTuple):
    """How a move is sent to one frontend. `score`: the member of the response with the new score."""

    frontend: str
    method: str
    path: str
    body: Callable[[Move], Json]
    score: str


def _a(move: Move) -> Json:
    return {"score": move.points}


def _b(move: Move) -> Json:
    return {"increment": move.points}


def _c(move: Move) -> Json:
    return {"actionId": move.unique, "actionType": move.action_type}


def _d(move: Move) -> Json:
    # Without a unique part each request counts, so that a curl line can be repeated.
    action_id = f"{move.action_type}:{move.unique}" if move.unique else move.action_type
    return {"user_id": move.user_id, "action_id": action_id}


def _e(move: Move) -> Json:
    return {"user_id": move.user_id, "score_increase": move.points}


GAMES = (
    Game("A", "POST", "/api/score", _a, "score"),
    Game("B", "POST", "/api/update-score", _b, "new_score"),
    Game("C", "POST", "/api/scores/update", _c, "newScore"),
    Game("D", "POST", "/api/actions", _d, "new_score"),
    Game("E", "POST", "/api/v1/score", _e, "new_score"),
)


POINTS = Board(periods=(Period("round", Every("5m", datetime(2026, 1, 1))),))  # noqa: DTZ001  # a local time
"""`main`, with rounds of five minutes."""

TIME_TRIAL = Board("kart", Rule.BEST, Order.ASCENDING, Bounds(45_000, 120_000))
"""Lap times in milliseconds."""


def path_of(board: Board) -> str:
    """API F of a board other than `main`."""
    return f"/boards/{board.name}/api/v1/scores"


def body_of(board: Board, value: int) -> Json:
    """The body for API F."""
    return {"points" if board.rule is Rule.SUM else "score": value}


def values_of(board: Board) -> tuple[int, int]:
    """The lowest and the highest value that the demo submits."""
    low, high = (1, 12) if board.rule is Rule.SUM else (0, 1000)
    bounds = board.bounds or Bounds()
    if bounds.min is not None:
        low, high = max(low, bounds.min) if board.rule is Rule.SUM else bounds.min, bounds.min + high
    if bounds.max is not None:
        low, high = min(low, bounds.max), bounds.max
    return low, high


def curl(path: str, body: Json, *, insecure: bool = False) -> str:
    """A command line that sends `body`, where $URL and $TOKEN are set. `insecure`: no check of the certificate."""
    data = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    start = "curl -k" if insecure else "curl"
    return f'{start} $URL{path} -H "Authorization: Bearer $TOKEN" --json {shlex.quote(data)}'
