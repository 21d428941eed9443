"""The board on a terminal. It is redrawn when it or the terminal's size changes, and when a highlight ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import termios
import time
from collections.abc import AsyncIterator, Callable
from typing import NoReturn, TextIO

from rich.console import Console, ConsoleDimensions, Group
from rich.live import Live
from rich.text import Text

from tornado_app.watch import rendering
from tornado_app.watch.state import Board, Change, Epoch

HIGHLIGHT = 2.0
"""Seconds for which a change is highlighted."""

TICK = 0.5
"""Seconds between two redraws while something on the screen changes with the time."""

QUIT_KEYS = b"qQ\x04"
"""`q`, and the end of file: Ctrl-D."""

NO_WRAP, WRAP = "\x1b[?7l", "\x1b[?7h"
"""A name that is wider than rich assumes must not begin a new line. Source: xterm's control sequences."""


def can_draw(out: TextIO) -> bool:
    """Whether `out` is a terminal that can place the cursor."""
    return out.isatty() and not Console(file=out, force_terminal=True).is_dumb_terminal


class Screen:
    """A View that draws on `out`. It calls `quit_` when one of `QUIT_KEYS` is typed on `keys`."""

    def __init__(self, out: TextIO, keys: TextIO, *, title: str, quit_: Callable[[], None]) -> None:
        self._console = Console(file=out, force_terminal=True, force_interactive=True, highlight=False)
        self._live = Live(
            console=self._console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._keys = keys
        self._quit = quit_
        self._title = title
        self._board = Board()
        self._changes: dict[int, tuple[float, Change]] = {}
        self._lost: tuple[float, str] | None = None
        self._end: float | None = None
        self._wanted = asyncio.Event()
        self._modes: list[int | list[bytes | int]] | None = None

    @contextlib.asynccontextmanager
    async def shown(self) -> AsyncIterator[asyncio.Future[NoReturn]]:
        """Draw until the end of the context, in the task that is yielded, then restore the terminal."""
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as cleanup:
            for number, action in ((signal.SIGWINCH, self._wanted.set), (signal.SIGTSTP, self._suspend)):
                loop.add_signal_handler(number, action)
                cleanup.callback(loop.remove_signal_handler, number)
            cleanup.callback(self._leave)
            self._enter()
            if self._keys.isatty():
                loop.add_reader(self._keys, self._read_keys)
                cleanup.callback(loop.remove_reader, self._keys)
            drawing = asyncio.create_task(self._keep_drawing())
            try:
                yield drawing
            finally:
                drawing.cancel()
                await asyncio.wait([drawing])

    def update(self, board: Board, changes: list[Change]) -> None:
        """Show the board with its changes highlighted, except those of the first board."""
        until = time.monotonic() + HIGHLIGHT
        if self._board is board:
            self._changes |= {change.place.position: (until, change) for change in changes}
        self._board = board
        self._lost = None
        self._wanted.set()

    def announced(self, epoch: Epoch) -> None:
        """Show the time that is left."""
        self._end = None if epoch.left is None else time.monotonic() + epoch.left
        self._wanted.set()

    def lost(self, since: float, reason: str) -> None:
        """Keep the last board, and show the time of the disconnection."""
        self._lost = (since, reason)
        self._wanted.set()

    async def _keep_drawing(self) -> NoReturn:
        while True:
            self._draw()
            self._wanted.clear()
            moving = self._changes or self._lost or self._end is not None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK if moving else None):
                    await self._wanted.wait()

    def _draw(self) -> None:
        # rich prefers COLUMNS and LINES, which do not follow the terminal.
        if all(size := os.get_terminal_size(self._console.file.fileno())):
            self._console.size = ConsoleDimensions(*size)
        self._live.update(self._rendered(), refresh=True)

    def _rendered(self) -> Group:
        now = time.monotonic()
        self._changes = {place: (until, change) for place, (until, change) in self._changes.items() if until > now}
        highlighted = {place: change for place, (_, change) in self._changes.items()}
        return rendering.board(self._title, self._board.places, highlighted, self._status(), self._console.size)

    def _status(self) -> Text:
        if self._lost is not None:
            return rendering.disconnected(self._lost[0], time.time(), self._lost[1])
        if not self._board.seen:
            return Text("connecting")
        return rendering.live(None if self._end is None else self._end - time.monotonic())

    def _read_keys(self) -> None:
        try:
            typed = os.read(self._keys.fileno(), 1024)
        except OSError:
            typed = b""  # the terminal is closed
        is_sequence = typed.startswith(b"\x1b")  # of an arrow or a function key
        if not typed or (not is_sequence and any(key in QUIT_KEYS for key in typed)):
            self._quit()

    def _suspend(self) -> None:
        """Ctrl-Z: restore the terminal for the shell, and draw again after SIGCONT."""
        self._leave()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._enter()
        self._wanted.set()

    def _enter(self) -> None:
        """Switch to the alternate screen. Each key is available at once, and typed characters are not shown."""
        if self._keys.isatty():
            self._modes = termios.tcgetattr(self._keys)
            modes = termios.tcgetattr(self._keys)
            local = modes[3]
            assert isinstance(local, int)  # noqa: S101  # the type stub joins all members in one union
            modes[3] = local & ~(termios.ECHO | termios.ICANON)
            termios.tcsetattr(self._keys, termios.TCSADRAIN, modes)
        self._live.start()
        self._write(NO_WRAP)

    def _leave(self) -> None:
        """Restore the screen and the modes of the terminal; a second call does nothing."""
        if self._modes is not None:
            termios.tcsetattr(self._keys, termios.TCSADRAIN, self._modes)
            self._modes = None
        if self._live.is_started:
            self._write(WRAP)
            self._live.stop()

    def _write(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()
