"""Tasks that end when they are told to, pieces of work that live and end together, and pauses between them."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("leaderboard.app")

CANCEL_AGAIN = 0.5
"""Seconds after which a task that goes on is cancelled again."""

HURRY = 0.2
"""The same where the time is over."""

END_SECONDS = 2.0
"""How long what must be put in order gets at least, however late it is."""


def jittered(seconds: float, least: float = 0.5, most: float = 1.0) -> float:
    """Between `least` and `most` times `seconds`, at random: what began together does not go on together."""
    return seconds * random.uniform(least, most)  # noqa: S311  # no secret


async def end(*tasks: asyncio.Future[Any], again: float | None = None) -> None:
    """Cancel them, every `again` seconds, until they have ended.

    A driver may lose a cancellation, or turn it into an error of its own; so does `asyncio.wait_for` of Python 3.11,
    when what it waits for is done in that very moment (CPython #86296). An `asyncio.TaskGroup` cancels what is in it
    only once, however often it is cancelled itself. To be cancelled does not keep this from its work.
    """
    cancelled = False
    while left := {task for task in tasks if not task.done()}:
        for task in left:
            task.cancel()
        try:
            await asyncio.wait(left, timeout=CANCEL_AGAIN if again is None else again)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError


async def first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Run them side by side until one ends or fails; the others are ended with it."""
    tasks = [asyncio.ensure_future(work) for work in works]
    for task in tasks:
        task.add_done_callback(_retrieve)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(*tasks)
    errors = [error for task in tasks if not task.cancelled() and (error := task.exception()) is not None]
    if errors:
        raise errors[0]


def _retrieve(task: asyncio.Future[None]) -> None:
    """Look at how it ended: where we are cancelled ourselves, nobody else does, and asyncio would log that."""
    if not task.cancelled():
        task.exception()


async def in_time(closing: Coroutine[Any, Any, None], deadline: float) -> None:
    """Close in order until `deadline` (loop time), then in a hurry: each step that still waits is cancelled."""
    task = asyncio.ensure_future(closing)
    try:
        left = deadline - asyncio.get_running_loop().time()
        await asyncio.wait([task], timeout=max(left, END_SECONDS))
        if not task.done():
            log.warning("shutdown deadline exceeded, cancelling the remaining tasks")
    finally:
        await end(task, again=HURRY)
    if not task.cancelled():
        task.result()
