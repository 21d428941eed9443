"""Pieces of work that live and end together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

CANCEL_AGAIN = 0.5
"""Seconds after which a task that goes on is cancelled again."""


async def first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Run them side by side until one ends or fails; the others are ended with it."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        left = set(tasks)
        while left:  # a driver may turn a cancellation into an error of its own, once
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN)
    errors = [error for task in tasks if not task.cancelled() and (error := task.exception()) is not None]
    if errors:
        raise errors[0]
