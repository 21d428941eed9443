"""What looks unlikely in a player's own past: told to people, proof of nothing. Pure, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from tornado_app.audit.findings import Finding, Kind
from tornado_app.core.abuse import Thresholds
from tornado_app.core.ledger import Entry, EntryKind
from tornado_app.core.model import rfc3339
from tornado_app.core.policies import RateLimit

WINDOWS = 10
"""Windows in a row at the rate limit that no person keeps up."""

MOST_TIMES = 2000
"""Times kept of one player; a limit beyond that is not judged."""


class Anomalies:
    """One player's actions as they are read. `limit` is the rate limit that was in force; `since`: milliseconds."""

    def __init__(self, player: str, limit: RateLimit, *, since: int = 0, thresholds: Thresholds | None = None) -> None:
        self._player = player
        self._limit = limit
        self._since = since
        self._thresholds = thresholds or Thresholds()
        self._times: deque[int] = deque(maxlen=min(WINDOWS * limit.updates, MOST_TIMES) + 1)
        self._found: dict[Kind, tuple[Finding, int]] = {}
        self._updates = 0
        self._mean = 0.0

    def add(self, entry: Entry) -> None:
        """The player's next entry."""
        if entry.kind is not EntryKind.ACTION:
            return
        self._jump(entry)
        self._times.append(entry.at)
        self._pace(entry, Kind.BURST, self._limit.updates + 1, self._limit.window)
        self._pace(entry, Kind.SUSTAINED, WINDOWS * self._limit.updates, WINDOWS * self._limit.window)

    def findings(self) -> Iterator[Finding]:
        """The first of each kind, with how many more there are."""
        for finding, more in self._found.values():
            text = f"{finding.text}, and {more} more like it" if more else finding.text
            yield Finding(finding.kind, finding.player, text, finding.n)

    def _jump(self, entry: Entry) -> None:
        limits = self._thresholds
        if self._updates >= limits.history and entry.points > limits.jump * self._mean:
            times = entry.points / max(self._mean, 1.0)
            self._tell(entry, Kind.JUMP, f"{entry.points} points, {times:.0f} times the mean of those before")
        self._updates += 1
        weight = 1 / min(self._updates, 5 * limits.history)  # a mean over the last hundred or so
        self._mean += (entry.points - self._mean) * weight

    def _pace(self, entry: Entry, kind: Kind, updates: int, seconds: float) -> None:
        if len(self._times) < updates:
            return
        took = entry.at - self._times[-updates]
        if 0 <= took < seconds * 1000:
            self._tell(entry, kind, f"{updates} updates within {took / 1000:.0f} s, until {rfc3339(entry.at)}")

    def _tell(self, entry: Entry, kind: Kind, text: str) -> None:
        if entry.at < self._since:
            return
        first, more = self._found.get(kind, (None, -1))
        self._found[kind] = (first or Finding(kind, self._player, text, entry.n), more + 1)
