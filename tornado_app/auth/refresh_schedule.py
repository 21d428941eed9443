"""When an identity provider's JWK Set is fetched. Pure: the caller passes the time."""

from __future__ import annotations

import re

from tornado_app.runtime.backoff import backoff

MIN_LIFETIME = 300.0
"""Minimum seconds between two scheduled fetches, whatever the provider says: five minutes."""

DEFAULT_LIFETIME = 900.0
"""Seconds until the next fetch if the provider does not say."""

MAX_LIFETIME = 86400.0
"""Maximum seconds until the next fetch, so that a withdrawn key is dropped within a day."""

UNKNOWN_KID_INTERVAL = 60.0
"""Minimum seconds since the last fetch for one that an unknown key id causes."""

FIRST_RETRY = 5.0
"""Seconds after a failure, doubled with each further one up to MIN_LIFETIME."""

_MAX_AGE = re.compile(r"(?:^|[,\s])max-age\s*=\s*\"?([0-9]{1,10})\b", re.IGNORECASE | re.ASCII)


class RefreshSchedule:
    """When the next fetch is due, and whether an unknown key id may cause one. Times are seconds of any one clock."""

    def __init__(self) -> None:
        self.due = float("-inf")
        self._began = float("-inf")
        self._failures = 0

    def began(self, now: float) -> None:
        """Record the start of a fetch."""
        self._began = now
        self.due = max(self.due, now + FIRST_RETRY)

    def succeeded(self, now: float, age: float | None, spread: float) -> None:
        """Record a fetched set that is valid for `age` seconds.

        `spread` (0 to 1) shortens this by up to a tenth, so that many processes do not fetch at the same time.
        """
        bounded = min(max(DEFAULT_LIFETIME if age is None else age, MIN_LIFETIME), MAX_LIFETIME)
        self.due = now + bounded * (1 - spread / 10)
        self._failures = 0

    def failed(self, now: float) -> None:
        """Record a failed fetch."""
        self._failures += 1
        self.due = now + backoff(self._failures, FIRST_RETRY, MIN_LIFETIME)

    def may_refresh(self, now: float) -> bool:
        """Whether an unknown key id may cause a fetch: none began within the last UNKNOWN_KID_INTERVAL seconds."""
        return now >= self._began + UNKNOWN_KID_INTERVAL


def max_age(cache_control: str) -> float | None:
    """The `max-age` of a Cache-Control header in seconds; 0 for no-store and no-cache, None if it has none."""
    if re.search(r"\bno-(?:store|cache)\b", cache_control, re.IGNORECASE):
        return 0.0
    found = _MAX_AGE.search(cache_control)
    return float(found[1]) if found else None
