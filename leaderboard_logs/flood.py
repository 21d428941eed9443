"""A bound on how often one complaint is logged: what goes wrong goes wrong for every request at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

MOST = 20
"""Lines of one kind in a second: warnings and worse. What is told of each update is no complaint, and has no bound."""

AUDIT = "leaderboard.audit"
"""Has no bound either: who did what must not be lost among others who did."""

KINDS = 1000
"""Kinds that are told apart at once; libraries may put what they like into a message."""


class Flood(logging.Filter):
    """Holds back what is more than `MOST` a second of one kind: the same logger and the same message before formatting.

    The next line of that kind that passes says how many were `held_back`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._second = 0
        self._passed: dict[tuple[str, object], int] = {}
        self._held: dict[tuple[str, object], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        if record.levelno < logging.WARNING or record.name == AUDIT:
            return True
        second = int(self._clock())
        if second != self._second or len(self._passed) > KINDS:
            self._second = second
            self._passed.clear()
        kind = (record.name, str(record.msg))
        passed = self._passed[kind] = self._passed.get(kind, 0) + 1
        if passed > MOST:
            self._held[kind] = self._held.get(kind, 0) + 1
            return False
        if kind in self._held:
            record.__dict__["held_back"] = self._held.pop(kind)
        return True
