"""Waiting for a condition, with a deadline; nothing sleeps and hopes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE = 0.02


def wait_until(
    condition: Callable[[], T], deadline: float = 30.0, what: str = "the condition", pause: float = PAUSE
) -> T:
    """The first true value of `condition` within `deadline` seconds, checked every `pause` seconds."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline:g} s: {what}; last seen: {value!r}")
        time.sleep(pause)


async def eventually(
    condition: Callable[[], T | Awaitable[T]], deadline: float = 30.0, what: str = "the condition"
) -> T:
    """The same on the event loop; `condition` may be a coroutine function."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline:g} s: {what}; last seen: {value!r}")
        await asyncio.sleep(PAUSE)
