"""The file of boards: each error has its line and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tornado_app.config import load_config, warnings
from tornado_app.core.boards import MAIN, MAX_BOARDS, Board, Bounds, Order, Rule
from tornado_app.core.errors import ConfigError

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
            'line 3: board main: there is no member "seasons"; use rule, order, bounds, periods',
        ),
        (
            "boards:\n  main:\n    periods: {weekly: {}}\n",
            "line 3: board main: periods are not supported by this version; leave them out",
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
