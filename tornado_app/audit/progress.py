"""How far an audit is: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import time
from typing import TextIO

from tornado_app.audit.auditor import Counts

BAR = 24
"""Cells."""

REDRAW, LINE = 0.1, 10.0
"""Seconds between two drawings, and between two lines."""


class Progress:
    """Draws on `out`. `players`, `entries`: about how many there are in all."""

    def __init__(self, out: TextIO, players: int, entries: int) -> None:
        self._out = out
        self._total = max(players + entries, 1)
        self._draws = out.isatty()
        self._began = self._shown = time.monotonic()

    def __call__(self, counts: Counts) -> None:
        """So much was read."""
        now = time.monotonic()
        if now - self._shown < (REDRAW if self._draws else LINE):
            return
        self._shown = now
        done = counts.players + counts.entries
        share = min(done / self._total, 1.0)
        left = (now - self._began) * (1 - share) / share if share else 0.0
        text = f"{share:4.0%}  {counts.players:,} players, {counts.entries:,} entries, {_time(left)} left"
        if self._draws:
            full = round(share * BAR)
            self._write(f"\r\x1b[K▕{'█' * full}{' ' * (BAR - full)}▏{text}")
        else:
            self._write(f"{text.strip()}\n")

    def clear(self) -> None:
        """Make room for something else."""
        if self._draws:
            self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
