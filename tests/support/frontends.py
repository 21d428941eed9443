"""The six frontends for tests: how each adds points, and which field of its answer is the new score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import uuid4


class WriteForm(NamedTuple):
    """One way to raise a score. `points` is what `body(user)` adds; `field` is the body's number, if it has one."""

    name: str
    method: str
    path: str
    body: Callable[[str], dict[str, Any]]
    points: int
    score: str
    creates: bool
    field: str | None = None
    carries_id: bool = False


WRITES = (
    WriteForm("A-post", "POST", "/api/score", lambda user: {"score": 7}, 7, "score", creates=True, field="score"),
    WriteForm("A-patch", "PATCH", "/api/score", lambda user: {"score": 7}, 7, "score", creates=False, field="score"),
    WriteForm(
        "B", "POST", "/api/update-score", lambda user: {"increment": 7}, 7, "new_score", creates=False,
        field="increment",
    ),
    WriteForm(
        "C", "POST", "/api/scores/update", lambda user: {"actionId": f"a-{uuid4()}", "actionType": "level_complete"},
        50, "newScore", creates=True, carries_id=True,
    ),
    WriteForm(
        "D", "POST", "/api/actions", lambda user: {"user_id": user, "action_id": f"level_complete:{uuid4()}"},
        50, "new_score", creates=True, carries_id=True,
    ),
    WriteForm(
        "E", "POST", "/api/v1/score", lambda user: {"user_id": user, "score_increase": 7}, 7, "new_score",
        creates=False, field="score_increase",
    ),
    WriteForm("F", "POST", "/api/v1/scores", lambda user: {"points": 7}, 7, "score", creates=True, field="points"),
)  # fmt: skip
