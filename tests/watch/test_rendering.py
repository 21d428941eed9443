"""The board on terminals of any size: numbers are complete or absent, and no name does harm."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime

import pytest
from rich.console import Console, Group
from rich.screen import Screen
from rich.text import Text

from tests.support.fake_terminal import shown
from tornado_app.watch import rendering
from tornado_app.watch.rendering import MAX_MARKS, printable
from tornado_app.watch.state import Change, Epoch, Place

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
    "अनन्या शर्मा",
]
LARGE = {n: Place(n, f"u{n}", name, 10 ** (20 - 2 * n), n) for n, name in enumerate(NAMES, start=1)}
SMALL = {n: Place(n, f"u{n}", name, 924 - 10 * n, n) for n, name in enumerate(NAMES, start=1)}
CHANGES = {1: Change(LARGE[1], 1_234_567, 2), 2: Change(LARGE[2], None, 0), 3: Change(LARGE[3], 5, -1)}
COLUMNS = [1, 2, 5, 8, 12, 18, 20, 24, 26, 30, 40, 60, 80, 120, 200]


def test_control_and_direction_characters_of_a_name_are_removed():
    nasty = "a\x1b[2J\x07\r\n\tb\x9b1m\u202ec\u2066d\u2028e\ufeff\u200ff"
    cleaned = printable(nasty)
    assert cleaned == "a\ufffd[2J\ufffd\ufffd\ufffd\ufffdb\ufffd1mcd\ufffdef"
    assert cleaned.isprintable() or "\ufffd" in cleaned


def test_names_of_any_script_are_unchanged():
    for name in (
        "Zoë",
        "نیم‌فاصله",
        "🏄🏽\u200d♂️ Kai",
        "अनन्या शर्मा",
        "\U0001f3f4\U000e0067\U000e0062\U000e007f",
        "김민준",
    ):
        assert printable(name) == name


def test_combining_marks_above_the_limit_are_removed():
    assert printable("e" + "\u0301" * 60 + "o\u0301") == "e" + "\u0301" * MAX_MARKS + "o\u0301"


def written(content: Group, columns: int, rows: int, **options) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=columns, height=rows, **options)
    console.print(Screen(content), end="")
    return out.getvalue().replace("\n", "\r\n")  # as a terminal does (onlcr)


def drawn(columns: int, rows: int, places=LARGE, changes=CHANGES, status="live") -> list[str]:
    content = rendering.board("host:8000", places, changes, Text(status), (columns, rows))
    return shown(columns, rows, "\x1b[?7l" + written(content, columns, rows))


def numbers(line: str) -> list[int]:
    """Rank and score: the numbers before the name."""
    return [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", re.match(r"[\d, ]*", line)[0])]


def test_wide_terminal_shows_all_columns():
    lines = drawn(120, 40)
    assert lines[:2] == ["Leaderboard  host:8000", "live"]
    assert lines[3].split() == ["#", "Score", "Change", "Player"]
    assert [numbers(line)[:2] for line in lines[4:14]] == [[n, place.score] for n, place in LARGE.items()]
    assert lines[4].endswith("+1,234,567 ▲2   Zoë")
    assert re.search(r"new +さくら$", lines[5])
    assert re.search(r"\+5 ▼1 +김민준$", lines[6])
    assert lines[15] == "q quits"


def test_scores_are_aligned_for_names_of_any_width():
    ends = {re.match(r" *\d+ +[\d,]+", line).end() for line in drawn(100, 24)[4:14]}
    assert len(ends) == 1


@pytest.mark.parametrize("rows", [1, 2, 3, 6, 10, 12, 16, 24])
def test_numbers_are_complete_at_any_width(rows):
    for columns in COLUMNS:
        for places in (LARGE, SMALL):
            is_complete(columns, rows, places)


def is_complete(columns: int, rows: int, places: dict[int, Place]) -> None:
    """Each number that is shown is one of the board, and rows that are missing are counted."""
    lines = drawn(columns, rows, places, {})
    table = [found for line in lines if (found := numbers(line))]
    for position, found in enumerate(table, start=1):
        assert found[-1] == places[position].score, lines
        assert found[:-1] in ([], [position]), lines
    if not table:
        assert columns < len(str(places[1].score)) or rows <= 2
    elif len(table) < len(places):
        assert lines[len(table) + 1].startswith(f"… {len(places) - len(table)} more"[:columns].rstrip()[: columns - 1])


def test_score_of_three_digits_fits_20_columns():
    assert drawn(20, 6, SMALL, {}) == [
        "live",
        " 1    914  Zoë",
        " 2    904  さくら",
        " 3    894  김민준",
        " 4    884  עברית",
        "… 6 more, q quits",
    ]


def test_ten_rows_fit_12_lines():
    lines = drawn(40, 12, SMALL, {})
    assert [line.split()[0] for line in lines] == ["live", "#", *(str(n) for n in range(1, 11))]


def test_narrow_terminal_drops_changes_then_names_then_separators_then_ranks():
    top = {1: LARGE[1]}  # 1,000,000,000,000,000,000
    cases = {
        60: " 1  1,000,000,000,000,000,000  +1,234,567 ▲2   Zoë",
        40: " 1  1,000,000,000,000,000,000  Zoë",
        30: " 1  1,000,000,000,000,000,000",
        28: " 1  1000000000000000000",
        20: "1000000000000000000",
    }
    for columns, line in cases.items():
        assert line in drawn(columns, 24, top), columns
    assert "".join(drawn(18, 24, top)[1:3]) == "Too narrow for thescores."


def test_lower_score_is_shown_as_a_negative_change():
    """On an ascending board that is the better one."""
    assert " 1    914  -1,204 ▲2       Zoë" in drawn(80, 24, SMALL, {1: Change(SMALL[1], -1_204, 2)})


def test_change_that_is_too_long_is_dropped_and_not_truncated():
    change = {1: Change(SMALL[1], 10**12, 2)}
    assert " 1    914  ▲2              Zoë" in drawn(80, 24, SMALL, change)


def test_empty_board_is_shown_as_empty():
    assert "No scores yet." in drawn(80, 24, {}, {})
    assert drawn(20, 1, {}, {}) == ["live"]


def test_markup_and_control_characters_in_names_have_no_effect():
    places = {1: Place(1, "u", "[red]x[/red]\x1b[2J\u202e", 7, 1)}
    content = rendering.board("[bold]host", places, {}, Text("live"), (80, 24))
    text = written(content, 80, 24)
    assert "[red]x[/red]\ufffd[2J " in text
    assert "[bold]host" in text
    assert "\u202e" not in text


def test_no_color_leaves_bold_and_dim():
    content = rendering.board("host", LARGE, CHANGES, rendering.disconnected(0, 1, "x"), (80, 24))
    assert re.search(r"\x1b\[[\d;]*3[1-3]", written(content, 80, 24, color_system="standard"))
    plain = written(content, 80, 24, color_system="standard", no_color=True)
    assert set(re.findall(r"\x1b\[([\d;]+)m", plain)) == {"0", "1", "2"}


def test_lost_connection_is_shown_with_time_and_reason():
    text = rendering.disconnected(1000.0, 1042.5, "the service was \x1bstopped").plain
    assert re.fullmatch(
        r"disconnected since \d\d:\d\d:\d\d \(42 s\), trying again: the service was \ufffdstopped", text
    )
    assert "(5 min)" in rendering.disconnected(1000.0, 1300.0, "x").plain


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (None, "live"),
        (-3.0, "live, ends in 0:00"),
        (59.2, "live, ends in 1:00"),
        (3599.0, "live, ends in 59:59"),
        (3600.0, "live, ends in 1 h 0 min"),
        (86_399.0, "live, ends in 23 h 59 min"),
        (93_600.0, "live, ends in 1 d 2 h"),
    ],
)
def test_live_board_of_a_period_shows_the_time_left(left, text):
    assert rendering.live(left).plain == text


def test_lines_report_an_epoch_once_and_again_with_another_end():
    notes = io.StringIO()
    lines = rendering.Lines(io.StringIO(), notes)
    now = datetime(2040, 1, 2, 10, tzinfo=UTC)
    for number, end in ((15, None), (15, None), (15, now), (15, now), (16, None)):
        lines.announced(Epoch("week\x1bly", number, end, now))
    assert notes.getvalue().splitlines() == [
        "epoch 15 of week\ufffdly is open",
        "epoch 15 of week\ufffdly is open, until 2040-01-02T10:00:00.000Z",
        "epoch 16 of week\ufffdly is open",
    ]
