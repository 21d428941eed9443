"""Whether readiness, ranks, reads and every socket of an environment agree with its database."""

from __future__ import annotations

import http.client
import json
from typing import Any

from pymongo.errors import PyMongoError

from tests.endurance.environment import Environment, Instance
from tests.support.service import Answer

MOST_LOOKS = 40
"""Connections to a service, each to any of its processes, until all have answered: one in 2^39 services fails it."""

Row = tuple[str, int]
"""A player's id and score."""


def unready(environment: Environment) -> list[str]:
    """Which services are not ready, and why."""
    found = []
    for instance in environment.instances:
        try:
            status, reasons = instance.service.readiness()
        except OSError as error:
            found.append(f"{instance.service.url} does not answer: {error!r}")
        else:
            found += [] if status == 200 else [f"{instance.service.url} is not ready: {', '.join(reasons)}"]
    return found


def differences(environment: Environment) -> list[str]:
    """Differences between the service and the database; empty if they agree."""
    try:
        board = _board(environment)
    except (OSError, PyMongoError) as error:
        return [f"the database does not answer: {error!r}"]
    found = [text for instance in environment.instances for text in _service(instance, environment.processes, board)]
    for listener in environment.traffic.listeners:
        if listener.rows != board[:10]:
            found.append(f"service {listener.number}, {listener.path} shows {listener.rows}, not {board[:10]}")
    return found


def _board(environment: Environment) -> list[Row]:
    """All players, in the order of the board."""
    with environment.database() as database:
        documents = database["players"].find({}, {"score": 1}).sort([("score", -1), ("updatedAt", 1), ("_id", 1)])
        return [(document["_id"], document["score"]) for document in documents]


def _service(instance: Instance, processes: int, board: list[Row]) -> list[str]:
    """The differences of the first process that has any; empty if all processes agree with the board."""
    ranks: set[str] = set()
    tops: set[str] = set()
    for _ in range(MOST_LOOKS):
        try:
            whole = instance.service.get("/api/v1/leaderboard?limit=200")
            top = instance.service.get("/api/top-scores")
        except (OSError, http.client.HTTPException) as error:
            return [f"{instance.service.url} does not answer: {error!r}"]
        found = _differs("ranks", _ranked(whole), ranked(board)) + _differs("top 10", _top(top), board[:10])
        if found:
            return found
        ranks.add(_process(whole))
        tops.add(_process(top))
        if len(ranks) == len(tops) == processes:
            return []
    return [f"{instance.service.url}: not all processes answer"]


def _process(answer: Answer) -> str:
    """The process that answered, as the prefix of its request ids."""
    return answer.headers["X-Request-Id"].partition("-")[0]


def ranked(board: list[Row]) -> list[tuple[str, int, int]]:
    """Each row with its rank: 1 + how many have more."""
    scores = [score for _, score in board]
    first = {score: instance for instance, score in reversed(list(enumerate(scores, start=1)))}
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
