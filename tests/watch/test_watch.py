"""`leaderboard watch` on a real service: in a pipe, on a terminal, without a service."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from tests.support.command import Command, need_mongod
from tests.support.service import RunningService, token
from tests.support.wait import wait_until

PORTS = ("--port", "0", "--metrics-port", "0")
ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
SHOW_CURSOR, WRAP = "\x1b[?25h", "\x1b[?7h"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    need_mongod()
    with Command("demo", *PORTS, folder=tmp_path_factory.mktemp("demo")) as demo:
        yield demo.expect(r"ready at (\S+)", 60)[1]


@pytest.fixture(scope="module")
def still_url(tmp_path_factory, module_database):
    """A board of ten players that does not change: p01 has 914 points, p02 904, to p10 with 824."""
    uri, name = module_database
    service = RunningService(uri=uri, database=name)
    service.start(tmp_path_factory.mktemp("service") / "log")
    for n in range(1, 11):
        service.post("/api/score", {"score": 924 - 10 * n}, token=token(f"p{n:02}"))
    yield service.url
    service.close()


def test_watch_in_a_pipe_prints_a_line_for_each_change(url, tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # does not make a pipe a terminal
    with Command("watch", url, folder=tmp_path) as watch:
        line = r"[0-9-]{10}T[0-9:.]{12}Z\t(\d+)\t\d+\t\d+\t[\w-]+\t[^\t\n\x1b]+\n"
        positions = set()
        wait_until(lambda: positions.add(int(watch.expect(line)[1])) or 10 in positions, 60, "a full board")
        assert min(positions) == 1
        assert watch.interrupt() == 0
        assert watch.errors == ""


def test_watch_of_a_board_shows_its_lap_times(url, tmp_path):
    with Command("watch", url, "--board", "kart", folder=tmp_path) as watch:
        assert 45_000 <= int(watch.expect(r"\t1\t1\t(\d+)\t")[1]) <= 120_000
        assert watch.interrupt() == 0
    with Command("watch", url, "--board", "cart", folder=tmp_path) as watch:
        assert watch.process.wait(20) == 1
        assert "the service has no such board; GET /api/v1/boards lists them" in watch.errors


def test_watch_of_a_period_shows_its_scores(url, tmp_path):
    with Command("watch", url, "--period", "round", folder=tmp_path) as watch:
        assert int(watch.expect(r"\t1\t1\t(\d+)\t", 60)[1]) > 0
        wait_until(lambda: re.match(r"epoch \d+ of round is open, until \S+Z\n$", watch.errors), 10, "the epoch's end")
        assert watch.interrupt() == 0
    with Command("watch", url, "--period", "round", folder=tmp_path, terminal=(80, 24)) as watch:
        watch.expect(r"live, ends in [0-5]:\d\d")
    with Command("watch", url, "--board", "kart", "--period", "round", folder=tmp_path) as watch:
        assert watch.process.wait(20) == 1
        assert "the board has no such period; GET /api/v1/periods of the board lists them" in watch.errors
    with Command("watch", url, "--period", "a&b", folder=tmp_path) as watch:
        assert watch.process.wait(20) == 2
        assert "a period's name has 1 to 16 characters" in watch.errors


@pytest.mark.parametrize(
    ("columns", "rows", "first", "last"),
    [
        (20, 6, [" 1    914  p01", " 2    904  p02", " 3    894  p03", " 4    884  p04"], "… 6 more, q quits"),
        (
            40,
            12,
            [" #  Score  Change          Player", " 1    914                  p01"],
            "10    824                  p10",
        ),
        (80, 24, ["", " #  Score  Change          Player", " 1    914                  p01"], "q quits"),
        (120, 40, ["", " #  Score  Change          Player", " 1    914                  p01"], "q quits"),
    ],
)
def test_watch_shows_complete_scores_on_terminals_of_any_size(
    still_url, tmp_path, columns, rows, first, last, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "99")  # of another terminal: the terminal's own size counts
    with Command("watch", still_url, folder=tmp_path, terminal=(columns, rows)) as watch:
        watch.expect("live")
        lines = [line for line in watch.screen(columns, rows) if not line.startswith("Leaderboard ")]
        assert lines[0] == "live"
        assert lines[1 : 1 + len(first)] == first
        assert [line for line in lines if line][-1] == last
        assert len(lines) <= rows


@pytest.mark.parametrize("end", ["q", "\x04", "\x03", signal.SIGTERM])
def test_watch_restores_the_terminal_at_every_exit(still_url, tmp_path, end):
    with Command("watch", still_url, folder=tmp_path, terminal=(80, 24)) as watch:
        watch.expect(re.escape(ENTER))
        watch.expect("live")
        assert not watch.echoes()
        if isinstance(end, str):
            watch.type(end)
        else:
            watch.process.send_signal(end)
        rest = watch.rest()
        assert all(sequence in rest for sequence in (LEAVE, SHOW_CURSOR, WRAP))
        assert watch.process.wait(10) == 0
        assert watch.echoes()
        assert watch.errors == ""


def test_watch_ignores_other_keys(still_url, tmp_path):
    with Command("watch", still_url, folder=tmp_path, terminal=(80, 24)) as watch:
        watch.expect("live")
        watch.type("x\r \x1b[Aj")
        watch.resize(30, 6)
        watch.expect("4 more|5 more|6 more")
        assert watch.process.poll() is None
        watch.type("q")
        assert watch.process.wait(10) == 0


def test_watch_draws_changes_in_place_and_follows_the_size(url, tmp_path):
    with Command("watch", url, folder=tmp_path, terminal=(80, 24)) as watch:
        watch.expect(r"Leaderboard  127\.0\.0\.1:\d+.*live")
        watch.expect("▲|▼|new|\\+")
        ranks = [int(line.split()[0]) for line in watch.screen(80, 24)[4:14]]
        assert ranks == sorted(ranks)
        watch.resize(30, 6)
        watch.expect("… 6 more, q quits")


@pytest.mark.parametrize("no_color", [True, pytest.param(False, marks=pytest.mark.long)])
def test_watch_with_no_color_has_no_colours(url, tmp_path, no_color, monkeypatch):
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    with Command("watch", url, folder=tmp_path, terminal=(80, 24)) as watch:
        change = watch.expect(r"(\x1b\[[\d;]*m)[▲▼+]\d|(\x1b\[[\d;]*m)new")
        assert bool(re.search(r"[;\[]3[12]m", change[1] or change[2])) is not no_color


def test_watch_suspended_restores_the_terminal_until_resumed(url, tmp_path):
    with Command("watch", url, folder=tmp_path, terminal=(80, 24)) as watch:
        watch.expect("live")
        watch.process.send_signal(signal.SIGTSTP)
        watch.expect(re.escape(LEAVE))
        wait_until(lambda: Path(f"/proc/{watch.process.pid}/stat").read_text().split()[2] == "T", 10, "it is stopped")
        assert watch.echoes()
        watch.process.send_signal(signal.SIGCONT)
        watch.expect(re.escape(ENTER) + ".*live")
        assert not watch.echoes()


def test_watch_shows_a_disconnection_and_reconnects(tmp_path):
    need_mongod()
    (tmp_path / "watch").mkdir()
    with Command("demo", *PORTS, folder=tmp_path) as demo:
        url = demo.expect(r"ready at (\S+)", 60)[1]
        watch = Command("watch", url, folder=tmp_path / "watch", terminal=(100, 24))
        with watch:
            watch.expect("live")
            demo.interrupt()
            watch.expect(r"disconnected since \d\d:\d\d:\d\d \(\d+ s\), trying again: \w+")
            with Command("serve", "--port", url.rpartition(":")[2], "--metrics-port", "0", folder=tmp_path) as serve:
                serve.expect("ready")
                watch.expect("live", 60)
                watch.process.send_signal(signal.SIGTERM)
                assert watch.process.wait(10) == 0


def test_watch_without_a_service_exits_with_1(tmp_path):
    for terminal in (None, (80, 24)):
        with Command("watch", "http://127.0.0.1:1", folder=tmp_path, terminal=terminal) as watch:
            assert watch.process.wait(20) == 1
            assert watch.errors == (
                "error: ws://127.0.0.1:1/ws/leaderboard: Connection refused; is the service running there?\n"
            )


def test_watch_ends_with_its_pipe(url, tmp_path):
    with Command("watch", url, folder=tmp_path) as watch:
        watch.expect("\n")
        watch.hang_up()
        assert watch.process.wait(20) == 1
        assert watch.errors == ""


def test_watch_on_a_dumb_terminal_prints_lines(url, tmp_path):
    with Command("watch", url, folder=tmp_path, terminal=(80, 24), term="dumb") as watch:
        watch.expect(r"Z\t1\t1\t\d+\t")
        assert "\x1b" not in watch.rest(0.5)
