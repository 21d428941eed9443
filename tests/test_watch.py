"""`leaderboard watch` on a real service: in a pipe, on a terminal, without a service."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from tests.support.command import Command, need_mongod
from tests.support.paper import Paper
from tests.support.wait import wait_until
from tornado_app.watch.terminal import ENTER, LEAVE

PORTS = ("--port", "0", "--metrics-port", "0")


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    need_mongod()
    with Command("demo", *PORTS, folder=tmp_path_factory.mktemp("demo")) as demo:
        yield demo.expect(r"ready at (\S+)", 60)[1]


def test_in_a_pipe_it_prints_a_line_for_each_change(url, tmp_path):
    with Command("watch", url, folder=tmp_path) as watch:
        line = r"[0-9-]{10}T[0-9:.]{12}Z\t(\d+)\t\d+\t\d+\t[\w-]+\t[^\t\n\x1b]+\n"
        positions = set()
        wait_until(lambda: positions.add(int(watch.expect(line)[1])) or 10 in positions, 60, "a full board")
        assert min(positions) == 1
        assert watch.interrupt() == 0
        assert watch.errors == ""


def test_on_a_terminal_it_draws_in_place_follows_the_size_and_leaves_it_as_it_was(url, tmp_path):
    with Command("watch", url, folder=tmp_path, terminal=(80, 24)) as watch:
        watch.expect(re.escape(ENTER))
        assert not watch.echoes()
        watch.expect(r"Leaderboard  127\.0\.0\.1:\d+.*live")
        watch.expect("▲|▼|new|\\+")
        paper = Paper(80, 24)
        paper.write(watch.expect(r"\x1b\[H(?:(?!\x1b\[H).)*10 [^\x1b]*.*?\x1b\[J")[0])
        assert paper.lines[3].split() == ["#", "Player", "Score"]
        assert [int(line.split()[0]) for line in paper.lines[4:14]] == sorted(
            int(line.split()[0]) for line in paper.lines[4:14]
        )
        watch.resize(30, 6)
        watch.expect(r"\x1b\[H(?:(?!\x1b\[J).)*\x1b\[J")
        small = Paper(30, 6)
        small.write(watch.expect(r"\x1b\[H(?:(?!\x1b\[J).)*\x1b\[J")[0])
        watch.type("\x03")
        assert watch.rest().endswith(LEAVE)
        assert watch.process.wait(10) == 0
        assert watch.echoes()
        assert watch.errors == ""


def test_ctrl_z_gives_the_terminal_back_until_it_goes_on(url, tmp_path):
    with Command("watch", url, folder=tmp_path, terminal=(80, 24)) as watch:
        watch.expect("live")
        watch.process.send_signal(signal.SIGTSTP)
        watch.expect(re.escape(LEAVE))
        wait_until(lambda: Path(f"/proc/{watch.process.pid}/stat").read_text().split()[2] == "T", 10, "it is stopped")
        assert watch.echoes()
        watch.process.send_signal(signal.SIGCONT)
        watch.expect(re.escape(ENTER) + ".*live")
        assert not watch.echoes()


def test_it_says_since_when_it_is_disconnected_and_goes_on(tmp_path):
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


def test_without_a_service_it_says_so_and_exits_with_1(tmp_path):
    for terminal in (None, (80, 24)):
        with Command("watch", "http://127.0.0.1:1", folder=tmp_path, terminal=terminal) as watch:
            assert watch.process.wait(20) == 1
            assert watch.errors == (
                "error: ws://127.0.0.1:1/ws/leaderboard: Connection refused; is the service running there?\n"
            )


def test_the_end_of_the_pipe_ends_it(url, tmp_path):
    with Command("watch", url, folder=tmp_path) as watch:
        watch.expect("\n")
        watch.hang_up()
        assert watch.process.wait(20) == 1
        assert watch.errors == ""
