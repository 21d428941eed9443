"""Status conditions, and the explanations and problems that they report."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

MAX_MESSAGE_LENGTH = 4096
"""The CRD bounds messages, and a quoted text, such as the keys of a Secret, may be longer."""


class Explanation(msgspec.Struct, frozen=True):
    """Reason and message of a condition."""

    reason: str
    message: str


class Problem(Explanation, frozen=True):
    """The explanation of a difference from the spec. `message` names the cause and the remedy."""


class Condition(msgspec.Struct, frozen=True):
    """A condition without its times."""

    type: str
    status: str
    reason: str
    message: str

    @classmethod
    def of(cls, type_: str, explanation: Explanation, *, status: bool | None) -> Condition:
        """A condition with a shortened message. `status` None is Unknown."""
        message = explanation.message
        if len(message) > MAX_MESSAGE_LENGTH:
            message = message[: MAX_MESSAGE_LENGTH - 1] + "…"
        return cls(type_, {True: "True", False: "False", None: "Unknown"}[status], explanation.reason, message)


def condition(live: dict[str, Any] | None, type_: str) -> dict[str, Any]:
    """A condition that the controller of a live object reports; empty if there is none."""
    conditions: list[dict[str, Any]] = (live or {}).get("status", {}).get("conditions", [])
    return next((row for row in conditions if row["type"] == type_), {})


def with_times(
    conditions: list[Condition], before: list[dict[str, Any]], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """The conditions in the form of the status. An unchanged status keeps its transition time."""
    previous = {row["type"]: row for row in before}
    stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    rows = []
    for condition_ in conditions:
        old = previous.get(condition_.type)
        since = old["lastTransitionTime"] if old and old["status"] == condition_.status else stamp
        rows.append({**msgspec.to_builtins(condition_), "lastTransitionTime": since, "observedGeneration": generation})
    return rows
