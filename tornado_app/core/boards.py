"""A board: how a submitted value becomes a score, and which of two scores is better; and the views of boards."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import msgspec

from tornado_app.core.periods import Period

MAX_SUBMITTED = 2**62 - 1
"""The greatest score that can be submitted, and as a negative number the least: the difference of any two is int64."""

NAME_PATTERN = "[a-z][a-z0-9-]{0,31}"
"""A board's name, a regular expression: part of a path, of a collection's name and of a key in Kubernetes."""

MAX_BOARDS = 100
"""The most boards in one Leaderboard, `main` included."""


class Rule(StrEnum):
    """What a submitted value does to the score.

    SUM: it is added. BEST: it becomes the score if it is better. LAST: it becomes the score.
    """

    SUM = "sum"
    BEST = "best"
    LAST = "last"


class Order(StrEnum):
    """Which scores are first on the board: the highest, or the lowest."""

    DESCENDING = "descending"
    ASCENDING = "ascending"

    def better(self, score: int, other: int) -> bool:
        """Whether `score` is before `other` on the board."""
        return score > other if self is Order.DESCENDING else score < other


class Bounds(msgspec.Struct, frozen=True, omit_defaults=True):
    """The lowest and the highest value that may be submitted; None: any."""

    min: int | None = None
    max: int | None = None

    def __contains__(self, value: int) -> bool:
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)

    def __str__(self) -> str:
        if self.max is None:
            return f"{self.min} or more"
        return f"{self.max} or less" if self.min is None else f"{self.min} to {self.max}"


class Board(msgspec.Struct, frozen=True):
    """The definition of a board. Rule and order of a board with data do not change.

    `shows`: the period that APIs A to E read; None: all time.
    """

    name: str = "main"
    rule: Rule = Rule.SUM
    order: Order = Order.DESCENDING
    bounds: Bounds | None = None
    periods: tuple[Period, ...] = ()
    shows: str | None = None

    def score_after(self, score: int | None, value: int) -> int:
        """The score after a value was submitted. `score` None: the player has no score; a sum of nothing is 0."""
        if self.rule is Rule.SUM:
            return (score or 0) + value
        if self.rule is Rule.BEST and score is not None and not self.order.better(value, score):
            return score
        return value


MAIN = Board()
"""The board without a configuration: points are added, and the highest score is first."""


ALL_TIME = "all"
"""Names the scores of all time where a period can be named; no period has this name."""


class View(NamedTuple):
    """What has ranks, a top 10 and subscribers of its own: a board in one period. `period` None: all time."""

    board: str
    period: str | None = None


MAIN_VIEW = View(MAIN.name)
