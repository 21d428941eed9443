"""Tasks that end when they are told to, and pieces of work that live and end together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

CANCEL_AGAIN = 0.5
"""Seconds after which a task that goes on is cancelled again."""


async def end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel them until they have ended: a driver may lose a cancellation, or turn it into an error of its own.

    On Python 3.11 `asyncio.wait_for` does, when what it waits for is done in that very moment (CPython #86296). An
    `asyncio.TaskGroup` cancels what is in it only once, however often it is cancelled itself. To be cancelled does not
    keep this from its work.
    """
    cancelled = False
    while left := {task for task in tasks if not task.done()}:
        for task in left:
            task.cancel()
        try:
            await asyncio.wait(left, timeout=CANCEL_AGAIN)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError


async def first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Run them side by side until one ends or fails; the others are ended with it."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(*tasks)
    errors = [error for task in tasks if not task.cancelled() and (error := task.exception()) is not None]
    if errors:
        raise errors[0]
