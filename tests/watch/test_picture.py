"""The board drawn on terminals of any size."""

from __future__ import annotations

import re

import pytest

from tests.support.paper import Paper
from tornado_app.watch import picture
from tornado_app.watch.state import Change, Place

NAMES = [
    "Zoë",
    "さくら",
    "김민준",
    "עברית",
    "🏄🏽\u200d♂️ Kai",
    "W" * 64,
    "王" * 40,
    "a\x1b[31mb",
    "e" + "\u0301" * 40,
    "نیم‌فاصله",
]
PLACES = {n: Place(n, f"u{n}", name, 10 ** (20 - 2 * n), n) for n, name in enumerate(NAMES, start=1)}
CHANGES = {1: Change(PLACES[1], 1_234_567, 2), 2: Change(PLACES[2], None, 0), 3: Change(PLACES[3], 5, -1)}


def drawn(columns: int, rows: int, places=PLACES, changes=CHANGES, status="live") -> Paper:
    paper = Paper(columns, rows)
    lines = picture.lines("host:8000", places, changes, status, (columns, rows))
    paper.write("\x1b[H" + "\x1b[K\r\n".join(lines) + "\x1b[K\x1b[J")
    return paper


def test_scores_stand_one_below_the_other_whatever_the_names_are():
    rows = drawn(100, 24, changes={}).cells[4:14]
    ends = {max(x for x, cell in enumerate(row) if cell.isdigit()) for row in rows}
    assert len(ends) == 1


def test_changes_are_pointed_out():
    lines = drawn(100, 24).lines
    assert lines[4].endswith("+1,234,567 ▲2")
    assert lines[5].endswith("new")
    assert lines[6].endswith("+5 ▼1")


@pytest.mark.parametrize("columns", [1, 2, 5, 8, 12, 20, 30, 40, 60, 80, 200])
@pytest.mark.parametrize("rows", [1, 3, 10, 24])
def test_it_fits_any_terminal(columns, rows):
    drawn(columns, rows)  # Paper refuses what would scroll or wrap


def test_an_empty_board_says_so():
    assert "Nobody has scored yet." in "\n".join(drawn(80, 24, {}, {}).lines)


def test_a_lost_connection_says_since_when_and_why():
    text = picture.disconnected(1000.0, 1042.5, "the service was stopped")
    assert re.fullmatch(r"disconnected since \d\d:\d\d:\d\d \(42 s\), trying again: the service was stopped", text)
    assert "(5 min)" in picture.disconnected(1000.0, 1300.0, "x")
