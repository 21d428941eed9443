"""How long to wait before a process that has ended is started again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0
"""Seconds; doubled with each end."""

STABLE_SECONDS = 30.0
"""Who has run so long starts anew with the first pause."""


class Backoff:
    """The pauses of one process's place. `clock`: seconds of any origin; `chance`: evenly from 0 to 1."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._began = clock()
        self._pause = FIRST_PAUSE

    def began(self) -> None:
        """A process was started."""
        self._began = self._clock()

    def ended(self) -> float:
        """It has ended: the seconds to wait, up to a half less than the full pause so that not all start at once."""
        if self._clock() - self._began >= STABLE_SECONDS:
            self._pause = FIRST_PAUSE
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
        return pause * (1 - self._chance() / 2)
