"""When an identity provider's keys are fetched: pure arithmetic on a clock that is handed in."""

from __future__ import annotations

import re

LEAST_AGE = 300.0
"""Seconds that a set is used at least, whatever the provider says: five minutes."""

DEFAULT_AGE = 900.0
"""Seconds that a set is used where the provider says nothing."""

MOST_AGE = 86400.0
"""Seconds that a set is used at most, so that a withdrawn key ends within a day."""

LOOK_EVERY = 60.0
"""Seconds between two fetches that requests with unknown key ids cause."""

FIRST_RETRY = 5.0
"""Seconds after a failure; doubled by each further one, up to LEAST_AGE."""

_MAX_AGE = re.compile(r"(?:^|[,\s])max-age\s*=\s*\"?([0-9]{1,10})\b", re.IGNORECASE | re.ASCII)


class Schedule:
    """When the next fetch is due, and whether an unknown key is worth one. Times are seconds of any one origin."""

    def __init__(self) -> None:
        self.due = float("-inf")
        self._began = float("-inf")
        self._retry = FIRST_RETRY

    def began(self, now: float) -> None:
        """A fetch begins, for whatever reason."""
        self._began = now
        self.due = max(self.due, now + FIRST_RETRY)

    def succeeded(self, now: float, age: float | None, spread: float) -> None:
        """A fetch gave a set that is good for `age` seconds.

        `spread` (0 to 1) takes up to a tenth off, so that many processes do not ask in the same moment.
        """
        bounded = min(max(DEFAULT_AGE if age is None else age, LEAST_AGE), MOST_AGE)
        self.due = now + bounded * (1 - spread / 10)
        self._retry = FIRST_RETRY

    def failed(self, now: float) -> None:
        """A fetch gave nothing."""
        self.due = now + self._retry
        self._retry = min(2 * self._retry, LEAST_AGE)

    def may_look(self, now: float) -> bool:
        """Whether an unknown key may cause a fetch: none began within the last LOOK_EVERY seconds."""
        return now >= self._began + LOOK_EVERY


def max_age(cache_control: str) -> float | None:
    """The `max-age` of a Cache-Control header in seconds; 0 for what may not be kept, None where it says nothing."""
    if re.search(r"\bno-(?:store|cache)\b", cache_control, re.IGNORECASE):
        return 0.0
    found = _MAX_AGE.search(cache_control)
    return float(found[1]) if found else None
