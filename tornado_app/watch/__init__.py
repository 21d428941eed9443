"""`leaderboard watch URL`: the board live in a terminal, or a line for each change in a pipe."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
from typing import Any, NoReturn
from urllib.parse import urlsplit

from tornado_app.runtime.lifecycle import set_on_signals
from tornado_app.watch.connection import View, follow, socket_address
from tornado_app.watch.rendering import Lines
from tornado_app.watch.screen import Screen, can_draw


def run(url: str, board: str | None = None, period: str | None = None) -> int:
    """Show a board of the service at `url`, by default `main`, until Ctrl-C; the exit code. `period`: as in the API.

    Raises StartupError for an invalid address, or if no leaderboard answers.
    """
    address = socket_address(url, board, period)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal replaces letters that it does not support
    # Lines of Tornado and asyncio would damage the picture, which shows the state of the connection itself.
    logging.basicConfig(handlers=[logging.NullHandler()])
    title = " ".join(filter(None, (urlsplit(address).netloc, board, period)))
    return asyncio.run(_run(address, title))


async def _run(address: str, title: str) -> int:
    stop = asyncio.Event()
    set_on_signals(stop)
    if not can_draw(sys.stdout):
        return await _until(stop, address, Lines(sys.stdout, sys.stderr))
    screen = Screen(sys.stdout, sys.stdin, title=title, quit_=stop.set)
    async with screen.shown() as drawing:
        return await _until(stop, address, screen, drawing)


async def _until(stop: asyncio.Event, address: str, view: View, *others: asyncio.Future[NoReturn]) -> int:
    """Follow the board until `stop`, or until this or one of the `others` fails."""
    stopping = asyncio.ensure_future(stop.wait())
    tasks: list[asyncio.Future[Any]] = [stopping, asyncio.ensure_future(follow(address, view)), *others]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()
    return 0
