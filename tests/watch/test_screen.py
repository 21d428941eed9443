"""The terminal is as it was when the view ends with an error."""

from __future__ import annotations

import asyncio
import contextlib
import os
import termios

import pytest

from tornado_app.watch.screen import Screen


def read_all(terminal: int) -> bytes:
    """What was written to a terminal whose other end is closed."""
    found = b""
    with contextlib.suppress(OSError):
        while data := os.read(terminal, 65536):
            found += data
    os.close(terminal)
    return found


async def fail(screen: Screen) -> None:
    async with screen.shown() as drawing:
        await asyncio.wait([drawing], timeout=0.1)
        raise RuntimeError("broken")


async def test_error_restores_the_terminal():
    outer, inner = os.openpty()
    before = termios.tcgetattr(inner)
    with os.fdopen(inner, "w") as out, os.fdopen(os.dup(inner)) as keys:
        screen = Screen(out, keys, title="host", quit_=lambda: None)
        with pytest.raises(RuntimeError, match="broken"):
            await fail(screen)
        assert termios.tcgetattr(inner) == before
    written = read_all(outer)
    assert written.index(b"\x1b[?1049h") < written.index(b"connecting") < written.index(b"\x1b[?1049l")
