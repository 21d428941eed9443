"""The board as text that is safe to print: a table for a terminal of some size, and a line for each change in a pipe.

In the table, the name is the last column. Programs disagree on the width of some names, so nothing stands behind a name
that it could move or cut. Numbers are complete or absent, never cut.
"""

from __future__ import annotations

import math
import re
import time
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, TextIO

from rich.console import Group
from rich.text import Text

from tornado_app.core.model import rfc3339
from tornado_app.watch.state import Board, Change, Epoch, Place

MAX_MARKS = 4
"""Maximum combining marks on one letter. More would reach into the rows above and below."""

_JOINERS = ("\u200c", "\u200d")
_REPLACED = ("Cc", "Cs", "Co", "Cn", "Zl", "Zp")

GAP = 2
CHANGE = 14
"""Cells of `+1,234,567 ▲3`; the column is left out if names would become too short."""

SHORT_NAME, SHORTEST_NAME = 12, 4
"""Cells: with less than the first there is no column of changes; with less than the second, no names."""

QUIT = "q quits"


def printable(text: str) -> str:
    """`text` without characters that move the cursor, end the line or change the direction of the text that follows.

    rich removes five control characters only, and neither escape nor the bidirectional ones.
    """
    return _limit_marks("".join(_visible(character) for character in text))


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in _REPLACED:
        return "\ufffd"
    if category == "Cf" and character not in _JOINERS and not _is_tag(character):
        return ""  # includes the marks, embeddings, overrides and isolates of direction
    return " " if category == "Zs" else character


def _limit_marks(text: str) -> str:
    if text.isascii():
        return text
    kinds = "".join("m" if unicodedata.category(character) in ("Mn", "Me") else "." for character in text)
    kept, start = [], 0
    for excess in re.finditer(f"(?<=m{{{MAX_MARKS}}})m+", kinds):
        kept.append(text[start : excess.start()])
        start = excess.end()
    return "".join([*kept, text[start:]])


def _is_tag(character: str) -> bool:
    """Whether it is part of a flag, such as that of Scotland."""
    return "\U000e0020" <= character <= "\U000e007f"


class _Columns(NamedTuple):
    """Cells of each column; 0 is a column that is left out."""

    rank: int
    score: int
    change: int
    name: int
    separator: str

    def row(self, rank: str, score: str, change: Text, name: str) -> Text:
        cells = [Text(f"{rank:>{self.rank}}")] * (self.rank > 0)
        cells.append(Text(f"{score:>{self.score}}"))
        if self.change:
            change.pad_right(self.change - len(change))
            cells.append(change)
        cells += [Text(name)] * (self.name > 0)
        return _line(Text(" " * GAP).join(cells))


def board(
    title: str,
    places: Mapping[int, Place],
    changes: Mapping[int, Change],
    status: Text,
    size: tuple[int, int],
) -> Group:
    """Title, status, table and hint in at most `columns × rows`; `changes` by position are highlighted."""
    columns, rows = size
    layout = _layout(columns, list(places.values()))
    if layout is None:
        return Group(_line(status), Text("Too narrow for the scores."))
    table = [_row(layout, place, changes.get(position)) for position, place in places.items()]
    table = table or [_line(Text("No scores yet."))]
    heading = layout.row("#", "Score", Text("Change"), "Player")
    heading.stylize("dim")
    spare = rows - 1 - len(table)  # the status is always shown
    if spare < 0:
        shown = max(0, rows - 2)
        more = _line(Text(f"… {len(table) - shown} more, {QUIT}", "dim"))
        return Group(*[_line(status), *table[:shown], more][:rows])
    above = [_line(Text(f"Leaderboard  {printable(title)}", "bold"))] * (spare >= 2)
    above.append(_line(status))
    above += [Text("")] * (spare >= 4)
    above += [heading] * (spare >= 1)
    below = [Text("")] * (spare >= 5) + [Text(QUIT, "dim")] * (spare >= 3)
    return Group(*above, *table, *below)


def disconnected(since: float, now: float, reason: str) -> Text:
    """The status while there is no connection."""
    clock = time.strftime("%H:%M:%S", time.localtime(since))
    seconds = int(max(0, now - since))
    ago = f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
    return Text(f"disconnected since {clock} ({ago}), trying again: {printable(reason)}", "yellow")


def live(left: float | None = None) -> Text:
    """The status while the board is live. `left`: seconds until its epoch ends."""
    return Text("live" if left is None else f"live, ends in {_duration(left)}")


def _duration(seconds: float) -> str:
    whole = max(0, math.ceil(seconds))
    minutes, hours, days = (whole // unit for unit in (60, 3_600, 86_400))
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes}:{whole % 60:02}"


def _layout(columns: int, places: list[Place]) -> _Columns | None:
    """The columns that fit; None if a score does not fit by itself."""
    rank = max([2, *(len(str(place.rank)) for place in places)])
    for separator, has_rank in ((",", True), ("", True), ("", False)):
        score = max([5, *(len(_number(place.score, separator)) for place in places)])
        left = columns - score - (rank + GAP) * has_rank
        if left < 0:
            continue
        left -= GAP
        change = CHANGE if left - CHANGE - GAP >= SHORT_NAME else 0
        left -= change + GAP if change else 0
        return _Columns(rank * has_rank, score, change, left if left >= SHORTEST_NAME else 0, separator)
    return None


def _row(layout: _Columns, place: Place, change: Change | None) -> Text:
    score = _number(place.score, layout.separator)
    name = printable(place.username or place.user_id or "")
    row = layout.row(str(place.rank), score, _change(change, layout.change), name)
    if change is not None:
        row.stylize("bold")
    return row


def _change(change: Change | None, cells: int) -> Text:
    """The change, without the parts that do not fit."""
    if change is None:
        return Text("")
    gained = f"{change.gained:+,}" if change.gained else ""
    arrow = f"▲{change.climbed}" if change.climbed > 0 else f"▼{-change.climbed}" if change.climbed < 0 else ""
    both = " ".join(filter(None, (gained, arrow))) or ("new" if change.gained is None else "")
    return Text(both if len(both) <= cells else arrow, "red" if change.climbed < 0 else "green")


def _number(score: int | None, separator: str) -> str:
    return f"{score or 0:,}".replace(",", separator)


def _line(text: Text) -> Text:
    text.no_wrap = True
    text.overflow = "ellipsis"
    return text


class Lines:
    """Writes `time, position, rank, score, user id, name` for each changed position; `-` if it became empty."""

    def __init__(self, out: TextIO, notes: TextIO) -> None:
        self._out = out
        self._notes = notes
        self._lost = False
        self._epoch: tuple[int, datetime | None] | None = None

    def update(self, board: Board, changes: list[Change]) -> None:
        """Write a line for each change; the first time that is the whole board."""
        if self._lost:
            self._lost = False
            self._note("connected again")
        now = rfc3339(round(time.time() * 1000))
        self._out.writelines(f"{now}\t{_columns(change.place)}\n" for change in changes)
        self._out.flush()

    def announced(self, epoch: Epoch) -> None:
        """Report an epoch once, and again when its end changes."""
        if self._epoch != (epoch.epoch, epoch.end):
            self._epoch = (epoch.epoch, epoch.end)
            end = "" if epoch.end is None else f", until {rfc3339(round(epoch.end.timestamp() * 1000))}"
            self._note(f"epoch {epoch.epoch} of {printable(epoch.period)} is open{end}")

    def lost(self, since: float, reason: str) -> None:
        """Report it once."""
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
