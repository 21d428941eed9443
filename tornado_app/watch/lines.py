"""The board as lines, for a pipe or a file: one for each change, tab-separated."""

from __future__ import annotations

import time
from typing import TextIO

from tornado_app.core.model import rfc3339
from tornado_app.watch.state import Board, Change, Place
from tornado_app.watch.text import printable


class Lines:
    """Writes `time, position, rank, score, user id, name` for each place that changed; `-` where it became empty."""

    def __init__(self, out: TextIO, notes: TextIO) -> None:
        self._out = out
        self._notes = notes
        self._lost = False

    def update(self, board: Board, changes: list[Change]) -> None:
        """A line for each change; the first time that is the whole board."""
        if self._lost:
            self._lost = False
            self._note("connected again")
        now = rfc3339(round(time.time() * 1000))
        self._out.writelines(f"{now}\t{_columns(change.place)}\n" for change in changes)
        self._out.flush()

    def lost(self, since: float, reason: str) -> None:
        """Say it once."""
        if not self._lost:
            self._lost = True
            self._note(f"disconnected since {rfc3339(round(since * 1000))}: {reason}; trying again")

    def _note(self, text: str) -> None:
        self._notes.write(f"{text}\n")
        self._notes.flush()


def _columns(place: Place) -> str:
    if place.user_id is None:
        return f"{place.position}\t-\t-\t-\t-"
    name = printable(place.username or place.user_id)
    return f"{place.position}\t{place.rank}\t{place.score}\t{printable(place.user_id)}\t{name}"
