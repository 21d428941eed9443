"""The requests by which a client scores through each of the five frontends, for the bots and the curl lines."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any, NamedTuple

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


def curl(game: Game, move: Move, *, insecure: bool = False) -> str:
    """A command line that makes this move, where $URL and $TOKEN are set. `insecure`: no check of the certificate."""
    data = json.dumps(game.body(move), ensure_ascii=False, separators=(",", ":"))
    start = "curl -k" if insecure else "curl"
    return f'{start} $URL{game.path} -H "Authorization: Bearer $TOKEN" --json {shlex.quote(data)}'
