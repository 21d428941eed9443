"""`leaderboard demo` on its embedded database, in an empty folder."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import pytest
from tornado.websocket import websocket_connect

from tests.support.command import Command, need_mongod
from tests.support.wait import wait_until
from tornado_app.core import identity
from tornado_app.core.policies import DEFAULT_ACTIONS
from tornado_app.demo.games import GAMES

PORTS = ("--port", "0", "--metrics-port", "0")
READY = r"leaderboard ready at (\S+) \(metrics at (\S+)\)\n(.*Page      \S+\n)"


def fetch(url: str, token: str | None = None):
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with urlopen(HttpRequest(url, headers=headers), timeout=10) as answer:
        text = answer.read().decode()
        return json.loads(text) if answer.headers.get_content_type() == "application/json" else text


def processes_in(folder: Path) -> list[str]:
    """The names of the running processes in or below `folder`, or with it on the command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().decode("utf-8", "replace")
            inside = (process / "cwd").readlink().is_relative_to(folder)
        except OSError:
            continue  # it has ended meanwhile
        if inside or str(folder) in line:
            found.append((line.partition("\0")[0]).rpartition("/")[2])
    return found


class Newcomer:
    """A started demo and what it printed."""

    def __init__(self, command: Command):
        self.command = command
        ready = command.expect(READY, 60)
        self.url, self.metrics_url, self.text = ready.groups()
        self.curls = [line for line in self.text.splitlines() if line.startswith("curl ")]
        self.export = re.search(r"(?m)^export URL=\S+ TOKEN=(\S+)$", self.text)
        assert self.export
        self.token = self.export[1]

    def run(self, line: str) -> dict:
        """A line as it is pasted into a shell, after the line that sets the variables."""
        done = subprocess.check_output(["bash", "-c", f"{self.export[0]}\n{line}"], timeout=30)
        return json.loads(done)


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory):
    need_mongod()
    with Command("demo", *PORTS, folder=tmp_path_factory.mktemp("demo")) as command:
        yield Newcomer(command)


def test_page_of_a_rebound_host_name_is_refused(newcomer):
    """The page would get a token of the demo. Only the names of this machine are served."""
    place = urlsplit(newcomer.url)
    for host, status in (("evil.example", 421), (f"localhost:{place.port}", 200), (place.netloc, 200)):
        for path in ("/", "/api/top-scores", "/demo/session"):
            connection = HTTPConnection(place.netloc)
            connection.request("GET", path, headers={"Host": host})
            assert connection.getresponse().status == status, (host, path)
            connection.close()


def test_demo_prints_its_address(newcomer):
    assert "50 simulated players. Not for production." in newcomer.text
    lines = newcomer.text.splitlines()
    pages = [f"API docs  {newcomer.url}/docs", f"Period    {newcomer.url}/?period=round", f"Page      {newcomer.url}"]
    assert lines[-3:] == pages
    assert sum(-(-max(len(line), 1) // 80) for line in lines) <= 22, "rows of a terminal of 80 columns"
    assert "<html" in fetch(f"{newcomer.url}/docs")
    assert "<html" in fetch(newcomer.url)
    assert "leaderboard_score_submissions_total" in fetch(newcomer.metrics_url)
    assert newcomer.command.errors == ""


def test_demo_prints_a_token_of_a_player(newcomer):
    assert fetch(f"{newcomer.url}/api/leaderboard", newcomer.token)["userRank"]["score"] >= 0


def test_demo_curl_lines_work_unchanged(newcomer):
    *points, lap = newcomer.curls
    assert [re.search(r"\$URL(\S+)", line)[1] for line in points] == [game.path for game in GAMES]
    scores = [newcomer.run(line)[game.score] for game, line in zip(GAMES, points, strict=True)]
    assert scores == sorted(set(scores))
    assert fetch(f"{newcomer.url}/api/leaderboard", newcomer.token)["userRank"]["score"] == scores[-1]
    assert newcomer.run(lap)["score"] == 82_500


def test_demo_curl_line_with_an_id_counts_once(newcomer):
    line = next(line for line in newcomer.curls if "/api/scores/update" in line)
    assert newcomer.run(line)["newScore"] == newcomer.run(line)["newScore"]


async def test_demo_players_change_the_top_10(newcomer):
    connection = await websocket_connect(newcomer.url.replace("http", "ws", 1) + "/ws/scoreboard")
    versions = []
    async with asyncio.timeout(40):
        while len(versions) < 10:
            message = json.loads(await connection.read_message())
            versions.append(message["version"])
    connection.close()
    assert versions == sorted(set(versions))
    assert len(message["top_scores"]) == 10


def test_demo_players_play_on_both_boards(newcomer):
    boards = fetch(f"{newcomer.url}/api/v1/boards")["boards"]
    assert [(board["name"], board["rule"], board["order"]) for board in boards] == [
        ("main", "sum", "descending"),
        ("kart", "best", "ascending"),
    ]

    def laps() -> list[int]:
        return [row["score"] for row in fetch(f"{newcomer.url}/boards/kart/api/top-scores")["top_scores"]]

    first = wait_until(lambda: len(laps()) == 10 and laps(), 60, "ten lap times")
    assert first == sorted(first)
    wait_until(lambda: laps() < first, 60, "a better lap")


def test_demo_has_rounds_of_five_minutes(newcomer):
    (period,) = fetch(f"{newcomer.url}/api/v1/periods")["periods"]
    assert (period["name"], period["schedule"]["every"]) == ("round", "5m")
    end = datetime.fromisoformat(period["current"]["end"])
    assert (end.minute % 5, end.second) == (0, 0)
    assert end - datetime.now(UTC) <= timedelta(minutes=5)
    wait_until(lambda: fetch(f"{newcomer.url}/api/top-scores?period=round")["top_scores"], 60, "scores in a round")


def test_demo_players_use_all_frontends(newcomer):
    def accepted() -> set[str]:
        found = re.findall(r'submissions_total\{frontend="(.)",result="accepted"\} (\d+)', fetch(newcomer.metrics_url))
        return {frontend for frontend, count in found if int(count) > 5}

    wait_until(lambda: accepted() == {"A", "B", "C", "D", "E", "F"}, 60, "each frontend has taken some updates")


def test_demo_visitor_gets_an_identity_that_can_score(newcomer):
    first, second = (fetch(f"{newcomer.url}/demo/session") for _ in range(2))
    assert first["user_id"] != second["user_id"]
    assert first["actions"] == dict(DEFAULT_ACTIONS)
    assert identity.username(first["username"]) == first["username"]
    body = json.dumps({"actionId": "first", "actionType": "daily_login"}).encode()
    headers = {"Authorization": f"Bearer {first['token']}", "Content-Type": "application/json"}
    with urlopen(HttpRequest(f"{newcomer.url}/api/scores/update", data=body, headers=headers), timeout=10) as answer:
        assert json.load(answer)["newScore"] == 1
    assert fetch(f"{newcomer.url}/api/v1/players/{first['user_id']}")["username"] == first["username"]


@pytest.mark.long
def test_demo_ends_with_ctrl_c_and_the_next_one_keeps_the_data(tmp_path):
    need_mongod()
    with Command("demo", *PORTS, "--players", "12", folder=tmp_path) as command:
        first = Newcomer(command)
        top = wait_until(lambda: fetch(f"{first.url}/api/top-scores")["top_scores"], 30, "somebody has scored")
        assert "mongod" in processes_in(tmp_path)
        began = time.monotonic()
        assert command.interrupt() == 0
        assert time.monotonic() - began < 8  # a second or two, on a busy machine some more
        assert command.errors == ""
        assert command.rest().endswith("stopped\n")
    wait_until(lambda: not processes_in(tmp_path), 10, "no process is left")

    with Command("demo", *PORTS, "--players", "12", folder=tmp_path) as command:
        again = Newcomer(command)
        known = fetch(f"{again.url}/api/leaderboard")
        assert known["totalUsers"] >= len(top)
        assert known["leaderboard"][0]["score"] >= top[0]["score"]

    with Command("serve", *PORTS, folder=tmp_path) as command:
        url = command.expect(r"ready at (\S+)")[1]
        with pytest.raises(OSError, match="404"):
            fetch(f"{url}/demo/session")


@pytest.mark.parametrize(
    ("flags", "fault"),
    [
        (("--jwt-algorithm", "RS256"), "jwt_"),
        (("--action-proof", "required"), "action_proof"),
        (("--captcha-url", "https://captcha.test/verify"), "captcha_"),
        (("--processes", "2"), "processes"),
    ],
)
def test_demo_refuses_settings_that_exclude_simulated_players(flags, fault, tmp_path):
    with Command("demo", *PORTS, *flags, folder=tmp_path) as command:
        assert command.process.wait(20) == 2
        assert command.errors.startswith(f"error: {fault}")
