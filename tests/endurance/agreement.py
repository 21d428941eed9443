"""Whether all that clients can see of a stage is what its database holds: readiness, ranks, reads and every socket."""

from __future__ import annotations

import http.client
import json
from typing import Any

from pymongo.errors import PyMongoError

from tests.endurance.stage import Place, Stage
from tests.support.service import Answer

Row = tuple[str, int]
"""A player's id and score."""


def unready(stage: Stage) -> list[str]:
    """Which services are not ready, and why."""
    found = []
    for place in stage.places:
        try:
            status, reasons = place.service.readiness()
        except OSError as error:
            found.append(f"{place.service.url} does not answer: {error!r}")
        else:
            found += [] if status == 200 else [f"{place.service.url} is not ready: {', '.join(reasons)}"]
    return found


def differences(stage: Stage) -> list[str]:
    """What is not (yet) shown as the database has it; empty where all agree."""
    try:
        board = _board(stage)
    except (OSError, PyMongoError) as error:
        return [f"the database does not answer: {error!r}"]
    found = [text for place in stage.places for text in _service(place, board)]
    for listener in stage.traffic.listeners:
        if listener.rows != board[:10]:
            found.append(f"service {listener.number}, {listener.path} shows {listener.rows}, not {board[:10]}")
    return found


def _board(stage: Stage) -> list[Row]:
    """All players, in the order of the board."""
    with stage.database() as database:
        documents = database["players"].find({}, {"score": 1}).sort([("score", -1), ("updatedAt", 1), ("_id", 1)])
        return [(document["_id"], document["score"]) for document in documents]


def _service(place: Place, board: list[Row]) -> list[str]:
    try:
        whole = place.service.get("/api/v1/leaderboard?limit=200")
        top = place.service.get("/api/top-scores")
    except (OSError, http.client.HTTPException) as error:
        return [f"{place.service.url} does not answer: {error!r}"]
    return _differs("ranks", _ranked(whole), ranked(board)) + _differs("top 10", _top(top), board[:10])


def ranked(board: list[Row]) -> list[tuple[str, int, int]]:
    """Each row with its rank: 1 + how many have more."""
    scores = [score for _, score in board]
    first = {score: place for place, score in reversed(list(enumerate(scores, start=1)))}
    return [(player, score, first[score]) for player, score in board]


def _ranked(answer: Answer) -> Any:
    if answer.status != 200:
        return answer.body
    return [(row["user_id"], row["score"], row["rank"]) for row in answer.json["players"]]


def _top(answer: Answer) -> Any:
    if answer.status != 200:
        return answer.body
    return [(row["user_id"], row["score"]) for row in answer.json["top_scores"]]


def _differs(what: str, shown: Any, held: list[Any]) -> list[str]:
    if shown == held:
        return []
    if not isinstance(shown, list):
        return [f"{what}: {json.dumps(shown.decode())}"]
    return [f"{what}: {[pair for pair in zip(shown, held, strict=False) if pair[0] != pair[1]][:3]} (shown, held)"]
