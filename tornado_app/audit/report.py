"""The output of an audit: a line for each finding, the progress, and a summary."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from typing import Any, NoReturn, TextIO

from tornado_app.audit.auditor import Counts
from tornado_app.audit.checks import Finding
from tornado_app.core.boards import MAIN

PASSED = "Every score is the sum of its ledger, and every chain is complete."
FAILED = "The ledger and the players differ."

BAR = 24
"""Cells."""

REDRAW, LINE = 0.2, 10.0
"""Seconds between two redraws, and between two lines."""

STALLED = 2.0
"""Seconds without progress after which there is no estimate; also the minimum reading time for one."""


class Report:
    """Prints findings to `out`, as sentences or as one JSON object a line, and counts them.

    `verdicts`: the sentences for no difference and for some.
    """

    def __init__(
        self, out: TextIO, progress: Progress, *, lines_of_json: bool, verdicts: tuple[str, str] = (PASSED, FAILED)
    ) -> None:
        self._out = out
        self._progress = progress
        self._json = lines_of_json
        self._passed, self._failed = verdicts
        self.differences = 0
        self.irregularities = 0

    def add(self, finding: Finding) -> None:
        """Print one finding."""
        if finding.kind.difference:
            self.differences += 1
        else:
            self.irregularities += 1
        label = "difference" if finding.kind.difference else "irregularity"
        if self._json:
            self._object(
                type=label,
                kind=finding.kind.value,
                board=finding.board,
                player=finding.player or None,
                n=finding.n,
                message=finding.text,
            )
        else:
            entry = "" if finding.n is None else f" entry {finding.n}:"
            board = "" if finding.board == MAIN.name else f"board {finding.board}, "
            self._line(f"{label:12}  {board}{finding.player or '-'}:{entry} {finding.text}")

    def close(self, counts: Counts) -> None:
        """Print the summary."""
        self._progress.clear()
        if self._json:
            self._object(
                type="summary",
                players=counts.players,
                entries=counts.entries,
                folded=counts.folded,
                erasures=counts.erasures,
                results=counts.results,
                differences=self.differences,
                irregularities=self.irregularities,
            )
            return
        parts = (
            *counted(counts),
            count_of(self.differences, "difference"),
            count_of(self.irregularities, "irregularity", "irregularities"),
        )
        self._line(f"{self._failed if self.differences else self._passed} {', '.join(parts)}.")

    def _line(self, text: str) -> None:
        """Print a line without control characters: parts of it may be texts of users."""
        self._progress.clear()
        self._out.write("".join(c if c.isprintable() else ascii(c)[1:-1] for c in text) + "\n")
        self._out.flush()

    def _object(self, **members: Any) -> None:
        self._progress.clear()
        self._out.write(json.dumps({name: value for name, value in members.items() if value is not None}) + "\n")
        self._out.flush()


def counted(counts: Counts) -> list[str]:
    """The counts in words."""
    return [
        count_of(counts.players, "player"),
        count_of(counts.entries, "entry", "entries"),
        *([f"{counts.folded:,} folded"] if counts.folded else []),
        count_of(counts.erasures, "erasure"),
        *([count_of(counts.results, "result")] if counts.results else []),
    ]


def count_of(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


class Progress:
    """Writes to `out`. `players`, `entries`: approximate totals."""

    def __init__(self, out: TextIO, players: int, entries: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._total = max(players + entries, 1)
        self._draws = out.isatty()
        self._clock = clock
        self._counts = Counts()
        self._done = 0
        self._reading = 0.0  # seconds with progress
        self._looked = self._moved = self._written = clock()

    def __call__(self, counts: Counts) -> None:
        """Receives the present counts."""
        self._counts = counts

    async def keep_writing(self) -> NoReturn:
        """Write until cancelled."""
        while True:
            await asyncio.sleep(REDRAW)
            self.write()

    def write(self) -> None:
        """Draw the bar, or write a line if one is due."""
        now = self._clock()
        done = self._counts.players + self._counts.entries
        if done > self._done:
            self._reading += now - self._looked
            self._done, self._moved = done, now
        self._looked = now
        if self._draws:
            self._put(f"\r\x1b[K{self._bar(now)}")
        elif now - self._written >= LINE:
            self._written = now
            self._put(f"{', '.join(self._parts(now))}\n")

    def clear(self) -> None:
        """Remove the bar before other output."""
        if self._draws:
            self._put("\r\x1b[K")

    def _parts(self, now: float) -> list[str]:
        counts = self._counts
        parts = [f"{self._share():.0%}", f"{counts.players:,} players", f"{counts.entries:,} entries"]
        if counts.rechecking:
            return [*parts, f"rechecking {counts.rechecking:,}"]
        left = self._left(now)
        return parts if left is None else [*parts, f"{_time(left)} left"]

    def _bar(self, now: float) -> str:
        """The bar with its texts, shortened to the width of the terminal."""
        parts = self._parts(now)
        full = round(self._share() * BAR)
        bar = f"▕{'█' * full}{' ' * (BAR - full)}▏"
        texts = (f"{bar} {', '.join(parts)}", ", ".join(parts), f"{parts[0]}, {parts[-1]}", parts[0])
        return next((text for text in texts if len(text) < self._columns()), "")

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._out.fileno()).columns or 80
        except OSError:
            return 80

    def _share(self) -> float:
        return min(self._done / self._total, 1.0)

    def _left(self, now: float) -> float | None:
        """Estimated seconds; None while unknown: at the start, and without progress."""
        if now - self._moved > STALLED or self._reading < STALLED or self._done >= self._total:
            return None
        return self._reading * (self._total - self._done) / self._done

    def _put(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
