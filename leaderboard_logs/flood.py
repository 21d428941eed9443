"""A bound on how often one complaint is logged: what goes wrong goes wrong for every request at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable

MOST = 20
"""Lines of one kind in a second: warnings and worse, and refusals. A line for each update is no complaint, and has no
bound."""

AUDIT = "leaderboard.audit"
"""What it says of accepted updates and of moderators has no bound: none of it may be lost."""

REFUSED = "_refused"
"""How the `event` of a refusal ends: anyone can cause as many as they like."""

MOST_AUDITED = 100
"""Audit lines of refusals of one kind in a second."""

MOST_OF_ONE = 5
"""Refusals of one kind and one client in a second, so that a client that floods the log leaves room for others."""

KINDS = 5000
"""Kinds, and clients of each, that are counted at once; libraries may put anything into a message."""


class Flood(logging.Filter):
    """Holds back what is more than `MOST` a second of one kind: the same logger and the same message before formatting,
    or of refusals the same logger, event and reason.

    The next line of that kind that passes says how many were `suppressed`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._second = 0
        self._passed: dict[Hashable, int] = {}
        self._held: dict[Hashable, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        event = str(getattr(record, "event", ""))
        refused = event.endswith(REFUSED)
        if not refused and (record.levelno < logging.WARNING or record.name == AUDIT):
            return True
        second = int(self._clock())
        if second != self._second or len(self._passed) > KINDS:
            self._second = second
            self._passed.clear()
        kind: Hashable = (
            (record.name, event, getattr(record, "reason", "")) if refused else (record.name, str(record.msg))
        )
        most = MOST_AUDITED if refused and record.name == AUDIT else MOST
        if not self._passes(kind, most, _client(record) if refused else None):
            self._held[kind] = self._held.get(kind, 0) + 1
            return False
        if kind in self._held:
            record.__dict__["suppressed"] = self._held.pop(kind)
        return True

    def _passes(self, kind: Hashable, most: int, client: Hashable) -> bool:
        passed = self._passed.get(kind, 0)
        of_client = self._passed.get((kind, client), 0)
        if passed >= most or (client is not None and of_client >= MOST_OF_ONE):
            return False
        self._passed[kind] = passed + 1
        if client is not None:
            self._passed[kind, client] = of_client + 1
        return True


def _client(record: logging.LogRecord) -> Hashable:
    """The client that was refused: the player of its token, else its address; None where neither is known."""
    found: Hashable = getattr(record, "caller", None) or getattr(record, "remote", None)
    return found
