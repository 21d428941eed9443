"""A clock for components that take one as an argument."""

from __future__ import annotations

NOW = 1_800_000_000.0
"""Seconds since the epoch."""


class Clock:
    """Shows `now`, in seconds, until the test changes it."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
