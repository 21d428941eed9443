"""The five frontends as their clients see them: what a game sends to score, once for the crowd and the curl lines."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any, NamedTuple

Json = dict[str, Any]


class Move(NamedTuple):
    """Something a player did: worth `points` where a frontend takes points, else an action of the server's table."""

    user_id: str
    points: int
    action_type: str
    unique: str


class Game(NamedTuple):
    """How one frontend is told of a move. `score` is where the answer holds the new score."""

    frontend: str
    method: str
    path: str
    body: Callable[[Move], Json]
    score: str
    fixed_points: bool
    note: str


def _a(move: Move) -> Json:
    return {"score": move.points}


def _b(move: Move) -> Json:
    return {"increment": move.points}


def _c(move: Move) -> Json:
    return {"actionId": move.unique, "actionType": move.action_type}


def _d(move: Move) -> Json:
    # Without a unique part each request counts, as who pastes the line twice expects.
    action_id = f"{move.action_type}:{move.unique}" if move.unique else move.action_type
    return {"user_id": move.user_id, "action_id": action_id}


def _e(move: Move) -> Json:
    return {"user_id": move.user_id, "score_increase": move.points}


GAMES = (
    Game("A", "POST", "/api/score", _a, "score", fixed_points=False, note="points to add"),
    Game("B", "POST", "/api/update-score", _b, "new_score", fixed_points=False, note="points to add"),
    Game("C", "POST", "/api/scores/update", _c, "newScore", fixed_points=True, note="an action; its id counts once"),
    Game("D", "POST", "/api/actions", _d, "new_score", fixed_points=True, note="an action"),
    Game("E", "POST", "/api/v1/score", _e, "new_score", fixed_points=False, note="points to add"),
)


def curl(game: Game, url: str, token: str, move: Move) -> str:
    """A command line that makes this move, and works when it is pasted by itself.

    `--data` with a header, as curl knows `--json` only from 7.82 on. A certificate is not checked: it need not be for
    this address.
    """
    words = ["curl", "-sS", "-w", "\\n", "-X", game.method, url + game.path]
    words += ["-H", "Content-Type: application/json", "--data", json.dumps(game.body(move), ensure_ascii=False)]
    words += ["-H", f"Authorization: Bearer {token}"]
    if url.startswith("https:"):
        words.insert(1, "--insecure")
    return shlex.join(words)
