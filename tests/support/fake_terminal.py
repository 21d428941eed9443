"""What a terminal shows after a program wrote to it: pyte's screen as lines of text."""

from __future__ import annotations

import pyte


def shown(columns: int, rows: int, written: str) -> list[str]:
    """The rows of a terminal of this size, without trailing spaces."""
    screen = pyte.Screen(columns, rows)
    pyte.Stream(screen).feed(written)
    return [row.rstrip() for row in screen.display]
