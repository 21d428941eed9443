"""A terminal to draw on: its size, a screen beside the one in use, and everything as it was in the end."""

from __future__ import annotations

import os
import termios
from typing import TextIO

ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
"""The other screen, no cursor, no wrapping of long lines. Source: xterm's control sequences."""

LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
FALLBACK_SIZE = (80, 24)


def can_draw(out: TextIO) -> bool:
    """Whether `out` is a terminal that knows a second screen; TERM=dumb, say, does not."""
    if not out.isatty():
        return False
    try:
        import curses
    except ImportError:
        return True  # some builds of Python lack it, and nearly every terminal can
    try:
        curses.setupterm(fd=out.fileno())
    except curses.error:
        return True  # a terminal that this machine has no description of
    return curses.tigetstr("smcup") is not None


class Terminal:
    """Draws whole frames; typed characters are not shown meanwhile."""

    def __init__(self, out: TextIO, keys: TextIO) -> None:
        self._out = out
        self._keys = keys
        self._echo: list[int | list[bytes | int]] | None = None

    def enter(self) -> None:
        """Switch to the other screen."""
        if self._keys.isatty():
            self._echo = termios.tcgetattr(self._keys)
            quiet = termios.tcgetattr(self._keys)
            flags = quiet[3]
            assert isinstance(flags, int)  # noqa: S101  # it is the local modes
            quiet[3] = flags & ~termios.ECHO
            termios.tcsetattr(self._keys, termios.TCSADRAIN, quiet)
        self._write(ENTER)

    def leave(self) -> None:
        """Back to the screen as it was."""
        self._write(LEAVE)
        if self._echo is not None:
            termios.tcsetattr(self._keys, termios.TCSADRAIN, self._echo)
            self._echo = None

    def size(self) -> tuple[int, int]:
        """Columns and rows, now."""
        try:
            columns, rows = os.get_terminal_size(self._out.fileno())
        except OSError:
            return FALLBACK_SIZE
        return (columns, rows) if columns and rows else FALLBACK_SIZE

    def draw(self, lines: list[str]) -> None:
        """Put these lines in place of what is there, in one write, without a blank moment."""
        self._write("\x1b[H" + "\x1b[K\r\n".join(lines) + "\x1b[K\x1b[J")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
