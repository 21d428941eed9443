"""Ending what runs: for certain, and in time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("leaderboard.app")

CANCEL_AGAIN = 0.5
"""Seconds after which a task that goes on is cancelled again."""

HURRY = 0.2
"""The same where the time is over."""

END_SECONDS = 2.0
"""How long what must be put in order gets at least, however late it is."""


async def end(task: asyncio.Future[None], again: float = CANCEL_AGAIN) -> None:
    """Cancel it, every `again` seconds, until it has ended.

    A driver may lose a cancellation, or turn it into an error of its own; so does `asyncio.wait_for` of Python 3.11,
    when what it waits for is done in that very moment (CPython #86296).
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=again)


async def in_time(closing: Coroutine[Any, Any, None], deadline: float) -> None:
    """Close in order until `deadline` (loop time), then in a hurry: each step that still waits is cancelled."""
    task = asyncio.ensure_future(closing)
    try:
        left = deadline - asyncio.get_running_loop().time()
        await asyncio.wait([task], timeout=max(left, END_SECONDS))
        if not task.done():
            log.warning("the time for ending in order is over: what is left is cut off")
    finally:
        await end(task, HURRY)
    if not task.cancelled():
        task.result()
