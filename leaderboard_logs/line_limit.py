"""Limits how often similar lines are logged: an error usually occurs for many requests at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable

MAX_LINES = 20
"""Maximum lines of one kind per second, for warnings, errors and refusals. Other lines are not limited."""

AUDIT = "leaderboard.audit"
"""The audit log. Its lines about accepted updates and moderation are not limited, so that none is lost."""

REFUSED = "_refused"
"""Suffix of the `event` of refusals, which any client can cause."""

MAX_AUDIT_REFUSALS = 100
"""Maximum audit lines of refusals of one kind per second."""

MAX_PER_CLIENT = 5
"""Maximum refusals of one kind and one client per second, so that one client cannot use up the limit."""

MAX_KINDS = 5000
"""Maximum kinds and clients that are counted at once; messages of libraries may contain anything."""


class LineLimitFilter(logging.Filter):
    """Suppresses lines above `MAX_LINES` a second of one kind.

    A kind is the logger and the unformatted message; of refusals, the logger, event and reason. The next line of that
    kind has the number of `suppressed` ones.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._second = 0
        self._passed: dict[Hashable, int] = {}
        self._suppressed: dict[Hashable, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        event = str(getattr(record, "event", ""))
        refused = event.endswith(REFUSED)
        if not refused and (record.levelno < logging.WARNING or record.name == AUDIT):
            return True
        second = int(self._clock())
        if second != self._second or len(self._passed) > MAX_KINDS:
            self._second = second
            self._passed.clear()
        kind: Hashable = (
            (record.name, event, getattr(record, "reason", "")) if refused else (record.name, str(record.msg))
        )
        limit = MAX_AUDIT_REFUSALS if refused and record.name == AUDIT else MAX_LINES
        if not self._passes(kind, limit, _client(record) if refused else None):
            self._suppressed[kind] = self._suppressed.get(kind, 0) + 1
            return False
        if kind in self._suppressed:
            record.__dict__["suppressed"] = self._suppressed.pop(kind)
        return True

    def _passes(self, kind: Hashable, limit: int, client: Hashable) -> bool:
        passed = self._passed.get(kind, 0)
        of_client = self._passed.get((kind, client), 0)
        if passed >= limit or (client is not None and of_client >= MAX_PER_CLIENT):
            return False
        self._passed[kind] = passed + 1
        if client is not None:
            self._passed[kind, client] = of_client + 1
        return True


def _client(record: logging.LogRecord) -> Hashable:
    """The refused client: the player of its token, else its address; None if neither is known."""
    client: Hashable = getattr(record, "caller", None) or getattr(record, "remote", None)
    return client
