"""The board as lines of text for a terminal of some size. No colours but bold and dim: they fit every theme."""

from __future__ import annotations

import time
from collections.abc import Mapping

from tornado_app.core.model import TOP
from tornado_app.watch.cells import clean, fit, width
from tornado_app.watch.state import Change, Place

BOLD, DIM, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
RANK = 4
"""Cells of a rank: right-aligned, as numbers are."""

NARROWEST_NAME, USUAL_NAME, WIDEST_NAME = 4, 12, 40
NEWS = 14
"""Cells of `+1,234 ▲3` with the space before it; a name gets longer only in what is left."""


def lines(
    title: str, places: Mapping[int, Place], changes: Mapping[int, Change], status: str, size: tuple[int, int]
) -> list[str]:
    """Heading, table and footer in `columns × rows`; `changes` by position are those to point out."""
    columns, rows = size
    layout = _Layout(columns, places)
    body = [f"{BOLD}{fit(f'Leaderboard  {clean(title)}', columns)}{PLAIN}", fit(clean(status), columns)]
    body += ["", f"{DIM}{layout.row('#', 'Player', 'Score')}{PLAIN}"]
    for position in range(1, TOP + 1):
        place = places.get(position)
        body.append("" if place is None else _row(layout, place, changes.get(position)))
    if not places:
        body[4] = fit("  Nobody has scored yet.", columns)
    body += ["", f"{DIM}{fit('Ctrl-C ends it.', columns)}{PLAIN}"]
    return body[:rows]


def disconnected(since: float, now: float, reason: str) -> str:
    """The status while there is no connection."""
    clock = time.strftime("%H:%M:%S", time.localtime(since))
    seconds = int(max(0, now - since))
    ago = f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
    return f"disconnected since {clock} ({ago}), trying again: {reason}"


class _Layout:
    """The widths of the columns: on a narrow terminal names get shorter, then the news go, then all alignment."""

    def __init__(self, columns: int, places: Mapping[int, Place]) -> None:
        self._columns = columns
        self._score = max([5, *(len(f"{place.score or 0:,}") for place in places.values())])
        room = columns - RANK - 1 - self._score - 1
        longest = max([USUAL_NAME, *(width(clean(place.username or "")) for place in places.values())])
        self._name = min(longest, WIDEST_NAME, max(room - NEWS, min(room, USUAL_NAME)))
        self._news = room - self._name

    def row(self, rank: str, name: str, score: str, news: str = "") -> str:
        """One row. Each column begins where it should, however wide the terminal takes a name to be."""
        if self._name < NARROWEST_NAME:
            return fit(f"{rank} {score} {name}", self._columns)
        behind_name = RANK + 1 + self._name + 1
        text = f"{rank:>{RANK}} {fit(name, self._name)}\x1b[{behind_name}G {score:>{self._score}}"
        return text + (fit(f"  {news}", self._news) if news and self._news > 2 else "")


def _row(layout: _Layout, place: Place, change: Change | None) -> str:
    name = clean(place.username or place.user_id or "")
    text = layout.row(str(place.rank), name, f"{place.score or 0:,}", _news(change))
    return text if change is None else f"{BOLD}{text}{PLAIN}"


def _news(change: Change | None) -> str:
    if change is None:
        return ""
    gained = f"+{change.gained:,}" if change.gained and change.gained > 0 else ""
    arrow = f"▲{change.climbed}" if change.climbed > 0 else f"▼{-change.climbed}" if change.climbed < 0 else ""
    return " ".join(filter(None, (gained, arrow))) or ("new" if change.gained is None else "")
