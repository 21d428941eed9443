"""The board on a terminal, drawn anew when it changes, when the terminal does, and when something is to fade."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from typing import NoReturn

from tornado_app.watch import picture
from tornado_app.watch.state import Board, Change
from tornado_app.watch.terminal import Terminal

POINTED_OUT = 2.0
"""Seconds for which a change is pointed out."""

TICK = 0.5
"""Seconds between two looks at the clock."""


class Screen:
    """A View that draws."""

    def __init__(self, terminal: Terminal, *, title: str) -> None:
        self._terminal = terminal
        self._title = title
        self._board = Board()
        self._changes: dict[int, tuple[float, Change]] = {}
        self._lost: tuple[float, str] | None = None
        self._wanted = asyncio.Event()

    @contextlib.asynccontextmanager
    async def shown(self) -> AsyncIterator[asyncio.Future[NoReturn]]:
        """Draws meanwhile, in a task that is yielded; in the end the terminal is as it was, whatever happened."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGWINCH, self._wanted.set)
        loop.add_signal_handler(signal.SIGTSTP, self._suspend)
        self._terminal.enter()
        drawing = asyncio.create_task(self._draw_on())
        try:
            yield drawing
        finally:
            drawing.cancel()
            await asyncio.wait([drawing])
            self._terminal.leave()
            for number in (signal.SIGWINCH, signal.SIGTSTP):
                loop.remove_signal_handler(number)

    def update(self, board: Board, changes: list[Change]) -> None:
        """Show the board; what changed is pointed out, but not what is shown for the first time."""
        until = time.monotonic() + POINTED_OUT
        if self._board is board:
            self._changes |= {change.place.position: (until, change) for change in changes}
        self._board = board
        self._lost = None
        self._wanted.set()

    def lost(self, since: float, reason: str) -> None:
        """Go on showing the board as it was, and since when."""
        self._lost = (since, reason)
        self._wanted.set()

    async def _draw_on(self) -> NoReturn:
        while True:
            self._draw()
            self._wanted.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK if self._changes or self._lost else None):
                    await self._wanted.wait()

    def _draw(self) -> None:
        now = time.monotonic()
        self._changes = {
            position: (until, change) for position, (until, change) in self._changes.items() if until > now
        }
        pointed_out = {position: change for position, (_, change) in self._changes.items()}
        size = self._terminal.size()
        self._terminal.draw(picture.lines(self._title, self._board.places, pointed_out, self._status(), size))

    def _status(self) -> str:
        if self._lost is not None:
            return picture.disconnected(self._lost[0], time.time(), self._lost[1])
        return "live" if self._board.seen else "connecting"

    def _suspend(self) -> None:
        """Ctrl-Z: leave the terminal to the shell, and draw again when this goes on."""
        self._terminal.leave()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._terminal.enter()
        self._wanted.set()
