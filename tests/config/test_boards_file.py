"""The file of boards: each error has its line and what to do."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from tornado_app.config import load_config, warnings
from tornado_app.core.boards import MAIN, MAX_BOARDS, Board, Bounds, Order, Rule
from tornado_app.core.errors import ConfigError
from tornado_app.core.periods import Cron, Every, Period

KEYS = {
    "LEADERBOARD_JWT_KEY": "correct-horse-battery-staple-0123456789",
    "LEADERBOARD_PROOF_KEY": "another-horse-another-battery-9876543210",
}


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> str:
        path = tmp_path / "boards.yaml"
        path.write_text(text)
        return str(path)

    return write


def faults(path: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config({"boards_file": path}, {})
    prefix = f"boards_file (--boards-file): {path}"
    assert all(fault.startswith(prefix) for fault in caught.value.faults)
    return [fault.removeprefix(prefix).lstrip(", ") for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("text", "board"),
    [
        ("boards: {main: {}}", MAIN),
        ("boards:\n  main:\n", MAIN),
        ("boards: {main: {rule: last}}", Board(rule=Rule.LAST)),
        ("boards: {main: {bounds: {max: 50}}}", Board(bounds=Bounds(max=50))),
        (
            "boards:\n  main:\n    rule: best\n    order: ascending\n    bounds: {min: 15000, max: 3600000}\n",
            Board("main", Rule.BEST, Order.ASCENDING, Bounds(15_000, 3_600_000)),
        ),
    ],
)
def test_boards_are_read_from_their_file(write, text: str, board: Board) -> None:
    assert load_config({"boards_file": write(text)}, {}).boards == (board,)


def test_boards_without_a_file_are_main() -> None:
    assert load_config({}, {}).boards == (MAIN,)


@pytest.mark.parametrize(
    ("text", "boards"),
    [
        ("boards: {}", (MAIN,)),
        ("boards: {kart: {rule: last}, a: }", (MAIN, Board("a"), Board("kart", Rule.LAST))),
        ("boards: {kart: {}, main: {rule: best}}", (Board("main", Rule.BEST), Board("kart"))),
        (
            "boards: {z9-: {}, x: &x {rule: best}, y: *x}",
            (MAIN, *(Board(name, Rule.BEST) for name in "xy"), Board("z9-")),
        ),
    ],
)
def test_boards_are_main_and_then_the_others_by_name(write, text: str, boards: tuple[Board, ...]) -> None:
    assert load_config({"boards_file": write(text)}, {}).boards == boards


def _many(number: int) -> str:
    return "boards:\n" + "".join(f"  b{index}:\n" for index in range(number))


def test_boards_are_at_most_a_hundred_with_main(write) -> None:
    most = MAX_BOARDS - 1
    assert len(load_config({"boards_file": write(_many(most))}, {}).boards) == MAX_BOARDS
    assert load_config({"boards_file": write(_many(most) + "  main:\n")}, {}).boards[0] == MAIN
    assert faults(write(_many(MAX_BOARDS))) == ["line 1: 101 boards with main are too many; use at most 100"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", ": contains no board; write boards:, and below it the name of each board with its members"),
        ("boards:\n", "line 1: contains no board; write boards:, and below it the name of each board with its members"),
        (
            "boards: [kart]",
            "line 1: contains no board; write boards:, and below it the name of each board with its members",
        ),
        ("board: {}\n", 'line 1: there is no member "board"; did you mean boards?'),
        ("boards:\n  Main: {}\n", 'line 2: "Main" is not the name of a board; did you mean main?'),
        (
            "boards:\n  a: {}\n  Kart Cup_2: {}\n",
            'line 3: "Kart Cup_2" is not the name of a board; did you mean kart-cup-2?',
        ),
        *(
            (
                f"boards:\n  {name}: {{}}\n",
                f'line 2: "{name}" is not the name of a board; use up to 32 of a-z 0-9 -, with a letter first',
            )
            for name in ("7up", "é", "a" * 33)
        ),
        ("boards:\n  on: {}\n", ": the name true is not text; put it in quotes"),
        ("boards:\n  7: {}\n", "line 2: the name 7 is not text; put it in quotes"),
        ("boards:\n  kart: {order: up}\n", 'line 2: board kart: "up" is not one of descending, ascending'),
        ("boards:\n  main: 7\n", "line 2: 7 is not a board; write its members below it, or {}"),
        ("boards:\n  main:\n    rul: best\n", 'line 3: board main: there is no member "rul"; did you mean rule?'),
        (
            "boards:\n  main:\n    seasons: {}\n",
            'line 3: board main: there is no member "seasons"; use rule, order, bounds, periods, shows',
        ),
        (
            "boards:\n  main:\n    rule: beste\n",
            'line 3: board main: "beste" is not one of sum, best, last; did you mean best?',
        ),
        ("boards:\n  main:\n    rule: 7\n", "line 3: board main: 7 is not one of sum, best, last"),
        (
            "boards:\n  main:\n    order: up\n",
            'line 3: board main: "up" is not one of descending, ascending',
        ),
        ("boards:\n  main:\n    bounds: 5\n", "line 3: board main: 5 is not a mapping of min and max"),
        *(
            (
                f"boards:\n  main:\n    bounds:\n      min: {number}\n",
                f'line 4: board main: "{number}" is not a whole number of -{2**62 - 1} to {2**62 - 1}',
            )
            for number in ("1:30", "015", "-1:30", "1e3x")
        ),
        ("boards: {main: {bounds: {mn: 5}}}", 'line 1: board main: there is no member "mn"; did you mean min?'),
        (
            "boards:\n  main:\n    rule: best\n    bounds:\n      max: 5\n      min: 6\n",
            "line 6: board main: min, 6, is greater than max, 5; exchange them",
        ),
        (
            "boards: {main: {bounds: {max: 0}}}",
            "line 1: board main: 0 accepts no points, which are 1 or more; give at least 1",
        ),
        (
            "boards: {main: {bounds: {min: true}}}",
            "line 1: board main: true is not a whole number of -4611686018427387903 to 4611686018427387903",
        ),
        (
            "boards: {main: {rule: best, bounds: {min: }}}",
            "line 1: board main: null is not a whole number of -4611686018427387903 to 4611686018427387903",
        ),
        ("boards: &a {main: *a}", "is not valid YAML: a value cannot be read"),
        ("boards: {main: !!bool x}", "is not valid YAML: a value cannot be read"),
        ("boards: {main: !!timestamp x}", "is not valid YAML: a value cannot be read"),
        ("boards: {main: !!int ''}", "is not valid YAML: a value cannot be read"),
    ],
)
def test_boards_file_error_has_its_line_and_what_to_do(write, text: str, fault: str) -> None:
    assert faults(write(text)) == [fault]


def test_boards_file_errors_are_all_reported(write) -> None:
    path = write("boards:\n  main: {rule: x, order: y, bounds: {min: z}}\n  A: {}\n  b: {rule: x}\n")
    assert len(faults(path)) == 5


def test_boards_file_with_a_repeated_key_is_an_error(write) -> None:
    (fault,) = faults(write("boards:\n  main: {}\n  main: {}\n"))
    assert "duplicate key" in fault


def test_limits_that_do_not_fit_the_rule_are_warned_about(write) -> None:
    path = write("boards: {points: {}, main: {rule: best}, kart: {rule: last}}")
    flags = {"boards_file": path, "max_points_per_window": "5", "action_proof": "off"}
    found = list(warnings(load_config(flags, KEYS)))
    assert [word in text for word, text in zip(("(main, kart)", "no bounds (main, kart)"), found, strict=True)] == [
        True
    ] * 2
    bounded = write("boards: {main: {rule: best, bounds: {min: 0}}}")
    assert not list(warnings(load_config({"boards_file": bounded}, KEYS)))


def test_periods_are_read_with_their_schedules(write) -> None:
    path = write("""
boards:
  main:
    shows: weekly
    periods:
      weekly: {cron: "0 0 * * MON", timeZone: Europe/Berlin, keep: 52, review: 1h}
      event: {every: 14d, from: 2026-12-01T18:00, timeZone: Asia/Tokyo}
      season:
""")
    start = datetime.fromisoformat("2026-12-01T18:00")
    assert load_config({"boards_file": path}, {}).boards[0] == Board(
        periods=(
            Period("weekly", Cron("0 0 * * MON", "Europe/Berlin"), 52, 3600.0),
            Period("event", Every("14d", start, "Asia/Tokyo")),
            Period("season"),
        ),
        shows="weekly",
    )


NAMES = "use up to 16 of a-z 0-9, with a letter first"
FIVE = "it must have five fields: minute, hour, day, month and day of the week"
ALL = "?period=all reads the scores of all time; choose another name"
YEARS = "use a year of 1970 to 2099"
BAD_DAY = "bad day-of-month; write five fields, such as 0 0 * * MON"
EVERY = "it must be 1 to 9999 of w, d, h, m or s, such as 14d or 6h"


@pytest.mark.parametrize(
    ("periods", "fault"),
    [
        ("[]", "line 3: board main: [] is not a mapping of periods; write the name of each with its members"),
        ("{}", "line 3: board main: {} is not a mapping of periods; write the name of each with its members"),
        ("{a: , b: , c: , d: }", "line 3: board main: 4 periods are too many; use at most 3"),
        *(
            (
                f"{{{name}: }}",
                f'line 3: board main: "{name}" is not the name of a period; {NAMES}',
            )
            for name in ("Weekly", "half-year", "a.b", "a" * 17)
        ),
        ("{7: }", "line 3: board main: the name 7 is not text; put it in quotes"),
        ("{all: }", f'line 3: board main: "all" cannot be the name of a period: {ALL}'),
        ("{w: 7}", "line 3: board main: 7 is not a period; write its members below it, or {}"),
        ("{w: {crn: }}", 'there is no member "crn"; did you mean cron?'),
        ("{w: {cron: 0 0 * *}}", f'"0 0 * *" is not a schedule: {FIVE}'),
        ("{w: {cron: 0 0 30 2 *}}", f'"0 0 30 2 *" is not a schedule: {BAD_DAY}'),
        ("{w: {cron: '0 0 */30 2 1#5'}}", '"0 0 */30 2 1#5" is not a schedule: no day matches it'),
        ("{w: {cron: 7}}", f"7 is not a schedule: {FIVE}"),
        ("{w: {cron: 0 0 * * *, timeZone: Asia/Toky}}", '"Asia/Toky" is not a time zone; did you mean Asia/Tokyo?'),
        ("{w: {cron: 0 0 * * *, timeZone: 1}}", "1 is not a time zone; use a name such as Europe/Berlin, or UTC"),
        ("{w: {timeZone: Asia/Tokyo}}", "timeZone has no effect without cron or every; add one, or leave it out"),
        ("{w: {every: 1d, cron: 0 0 * * *}}", "cron and every exclude each other; leave one out"),
        ("{w: {cron: 0 0 * * *, from: 2026-12-01T18:00}}", "from belongs to every; add every, or leave from out"),
        ("{w: {every: 1d}}", 'every needs from, a local time such as "2026-12-01T18:00"'),
        ("{w: {every: 1d, from: 2026-12-01}}", '"2026-12-01" is not a local time such as "2026-12-01T18:00"'),
        *(
            (f"{{w: {{every: 9999w, from: {start}}}}}", f'"{start}" cannot be the first boundary; {YEARS}')
            for start in ("0001-01-01T00:00", "1969-12-31T23:59", "2100-01-01T00:00", "9999-12-31T23:59")
        ),
        ("{w: {every: 1y, from: 2026-12-01T18:00}}", f'"1y" is not a schedule: {EVERY}'),
        ("{w: {every: 0d, from: 2026-12-01T18:00}}", f'"0d" is not a schedule: {EVERY}'),
        ("{w: {every: 14, from: 2026-12-01T18:00}}", f"14 is not a schedule: {EVERY}"),
        ("{w: {keep: 0}}", "0 is not a whole number of 1 to 1000"),
        ("{w: {review: 1w}}", '"1w" is not a duration of 0s to 720h, such as 100ms, 60s, 1m or 2h'),
    ],
)  # fmt: skip
def test_periods_error_has_its_line_and_what_to_do(write, periods: str, fault: str) -> None:
    whole = fault if fault.startswith("line") else f"line 3: board main: period w: {fault}"
    assert faults(write(f"boards:\n  main:\n    periods: {periods}\n")) == [whole]


@pytest.mark.parametrize(
    ("board", "fault"),
    [
        ("{shows: weekly}", '"weekly" is not a period of the board; leave it out'),
        ("{periods: {weekly: }, shows: week}", '"week" is not a period of the board; did you mean weekly?'),
        ("{periods: {weekly: , season: }, shows: 7}", "7 is not a period of the board; use weekly, season"),
    ],
)
def test_shows_without_its_period_is_an_error(write, board: str, fault: str) -> None:
    assert faults(write(f"boards:\n  main: {board}\n")) == [f"line 2: board main: {fault}"]
