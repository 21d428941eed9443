"""Conditions: what a Leaderboard's status says, each with a stable reason, and what is wrong with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

LONGEST_MESSAGE = 4096
"""Characters of a message. What it cites is of any length, such as the keys of a Secret, and the CRD has a bound."""


class Trouble(msgspec.Struct, frozen=True):
    """Something that keeps a Leaderboard from what was asked for. `message` names the cause and what to do."""

    reason: str
    message: str


class Condition(msgspec.Struct, frozen=True):
    """A condition, but for its times."""

    type: str
    status: str
    reason: str
    message: str

    @classmethod
    def of(cls, type_: str, why: Trouble, *, so: bool | None) -> Condition:
        """A condition that is so, is not so, or (None) is not known."""
        message = why.message
        if len(message) > LONGEST_MESSAGE:
            message = message[: LONGEST_MESSAGE - 1] + "…"
        return cls(type_, {True: "True", False: "False", None: "Unknown"}[so], why.reason, message)


def condition(live: dict[str, Any] | None, type_: str) -> dict[str, Any]:
    """A condition of a live object, as its controller reports it; empty where there is none."""
    found: list[dict[str, Any]] = (live or {}).get("status", {}).get("conditions", [])
    return next((each for each in found if each["type"] == type_), {})


def dated(found: list[Condition], before: list[dict[str, Any]], generation: int, now: datetime) -> list[dict[str, Any]]:
    """The conditions as the status holds them; a status that stays keeps its time."""
    known = {each["type"]: each for each in before}
    stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    rows = []
    for each in found:
        old = known.get(each.type)
        since = old["lastTransitionTime"] if old and old["status"] == each.status else stamp
        rows.append({**msgspec.to_builtins(each), "lastTransitionTime": since, "observedGeneration": generation})
    return rows
