"""The model's rules and the service's results, each in the types of the other."""

from __future__ import annotations

from typing import Any

from tests.properties.model import Answer, Rules, State
from tornado_app.core.boards import Board, Bounds, Order, Rule
from tornado_app.core.errors import LeaderboardError, PlayerNotFound
from tornado_app.core.model import Receipt
from tornado_app.core.moderation import ModerationResult


def board_of(rules: Rules, name: str = "main") -> Board:
    bounds = None if (rules.low, rules.high) == (None, None) else Bounds(rules.low, rules.high)
    return Board(name, Rule(rules.rule), Order.ASCENDING if rules.ascending else Order.DESCENDING, bounds)


async def outcome(awaitable: Any) -> Any:
    """What is returned, or the refusal."""
    try:
        return await awaitable
    except LeaderboardError as refusal:
        return refusal


def answer(found: Receipt | LeaderboardError) -> Answer:
    if isinstance(found, LeaderboardError):
        return Answer(type(found).__name__)
    return Answer("", found.score, found.points, found.updated_at, found.created, found.replayed, found.improved)


def state(found: ModerationResult | LeaderboardError | None) -> State | str:
    if found is None:
        return ""
    if isinstance(found, LeaderboardError):
        return type(found).__name__
    return State(found.score, found.suspended, found.hidden, found.changed, found.points, found.actions)


def result_of(found: Any) -> Answer | State | str:
    moderated = isinstance(found, ModerationResult) or (
        type(found) is PlayerNotFound and found.rate_limit_state is None
    )
    return state(found) if moderated else answer(found)
