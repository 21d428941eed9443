"""Delays that double with each consecutive failure."""

from __future__ import annotations

import time
from collections.abc import Callable


def backoff(failures: int, first: float, maximum: float) -> float:
    """Seconds to wait after so many consecutive failures: 0, `first`, then doubled each time up to `maximum`."""
    return min(maximum, first * 2.0 ** min(failures - 1, 60)) if failures else 0.0


class RestartBackoff:
    """Delays before restarts of a process. A run of `stable` seconds resets them. `clock`: seconds of any origin."""

    def __init__(
        self, first: float, maximum: float, *, stable: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._first = first
        self._maximum = maximum
        self._stable = stable
        self._clock = clock
        self._started = clock()
        self.failures = 0

    def started(self) -> None:
        """Record the start of the process."""
        self._started = self._clock()

    def exited(self) -> float:
        """Record its exit; the seconds to wait before it is restarted."""
        self.failures = 1 if self._clock() - self._started >= self._stable else self.failures + 1
        return backoff(self.failures, self._first, self._maximum)
