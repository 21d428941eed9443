"""Two real processes behind one change stream: after each fault, what each of them shows equals the database."""

import contextlib
import json
import os
import signal
import threading

import pytest
from pymongo import MongoClient
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tests.support.processes import Player, wait_for_both_processes, wait_for_restarts, workers
from tests.support.service import token
from tests.support.wait import wait_until

RESTARTS = "leaderboard_change_stream_restarts_total"
BEHIND = "the change stream is down or behind"
SOCKETS = 6
"""So many that both processes have one, but for one run in 32."""


class Listener(threading.Thread):
    """A socket that reconnects when it ends. `rows`: user and score of the top 10 as last seen."""

    def __init__(self, service, stop):
        super().__init__(daemon=True)
        self.service, self.stop, self.rows = service, stop, None

    def run(self):
        while not self.stop.is_set():
            with contextlib.suppress(OSError, WebSocketException), connect(f"{self.service.ws_url}/ws/score") as socket:
                while not self.stop.is_set():
                    with contextlib.suppress(TimeoutError):
                        message = json.loads(socket.recv(0.1))
                        self.rows = [(row["user_id"], row["score"]) for row in message["data"]["leaderboard"]]


class Following:
    """A service of two processes with players and sockets, and its database."""

    def __init__(self, service, uri, name):
        self.service = service
        self.stop, self.pause = threading.Event(), threading.Event()
        self.database = MongoClient(uri)[name]
        self.players = [Player(service, f"p{number}", self.pause) for number in range(4)]
        self.listeners = [Listener(service, self.stop) for _ in range(SOCKETS)]

    def play(self):
        for each in (*self.listeners, *self.players):
            each.start()
        self.wait_for_load()

    def wait_for_load(self):
        """Wait for forty updates."""
        before = sum(player.acknowledged for player in self.players)
        wait_until(lambda: sum(player.acknowledged for player in self.players) > before + 40, 60, "load")

    def close(self):
        self.stop.set()
        self.pause.set()
        for thread in (*self.players, *self.listeners):
            if thread.is_alive():
                thread.join(30)
        self.database.client.close()

    def wait_for_agreement(self):
        """End the load, and wait until both processes are ready and show what the database has."""
        self.pause.set()
        for player in self.players:
            if player.is_alive():
                player.join(30)
            assert player.odd == []
        found = []
        try:
            wait_until(lambda: not self._differences(found), 60, "agreement")
        except AssertionError as error:
            raise AssertionError(found) from error

    def _differences(self, found):
        order = [("score", -1), ("updatedAt", 1), ("_id", 1)]
        board = [(each["_id"], each["score"]) for each in self.database["players"].find().sort(order)]
        scores = [score for _, score in board]
        ranked = [(player, score, 1 + sum(other > score for other in scores)) for player, score in board]
        found[:] = [] if self.service.readiness() == (200, []) else ["not ready"]
        found += [listener.rows for listener in self.listeners if listener.rows != board[:10]]
        processes = set()
        for _ in range(40):
            whole = self.service.get("/api/v1/leaderboard?limit=200")
            shown = [(row["user_id"], row["score"], row["rank"]) for row in whole.json["players"]]
            found += [shown] if shown != ranked else []
            processes.add(whole.headers["X-Request-Id"].partition("-")[0])
            if found or len(processes) == 2:
                break
        for _ in range(2):
            top = [(row["user_id"], row["score"]) for row in self.service.get("/api/top-scores").json["top_scores"]]
            found += [top] if top != board[:10] else []
        return found or len(processes) < 2

    def open_streams(self):
        """The number of open change streams on the players."""
        stages = [
            {"$currentOp": {"idleCursors": True}},
            {"$match": {"ns": {"$regex": f"^{self.database.name}[.]"}}},
        ]
        found = self.database.client.admin.aggregate(stages)
        commands = [each.get("cursor", {}).get("originatingCommand", {}) for each in found]
        return sum("$changeStream" in (command.get("pipeline") or [{}])[0] for command in commands)

    @contextlib.contextmanager
    def failing(self, mode, *commands, **how):
        """Make these commands of the service fail."""
        data = {"failCommands": list(commands), "appName": "leaderboard", **how}
        admin = self.database.client.admin
        admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})
        try:
            yield
        finally:
            admin.command({"configureFailPoint": "failCommand", "mode": "off"})


@pytest.fixture
def following(start, mongo_database):
    uri, name = mongo_database
    service = start("--rate-limit", "1000/1m", "--proof-lifetime", "1s", uri=uri, database=name)
    following = Following(service, uri, name)
    try:
        wait_for_both_processes(service)
        following.play()
        yield following
        assert "Traceback" not in service.log
    finally:
        following.close()


def test_processes_share_one_change_stream(following):
    wait_until(lambda: following.open_streams() == 1, what="feeds and ledger read one stream")
    following.wait_for_agreement()
    assert following.service.metric(RESTARTS) == 0
    ledger = following.database["ledger"]
    wait_until(lambda: ledger.count_documents({}) == sum(player.acknowledged for player in following.players))


@pytest.mark.long
def test_killed_process_disturbs_no_other(following):
    killed, _ = workers(following.service)
    os.kill(killed, signal.SIGKILL)
    following.wait_for_load()
    wait_for_restarts(following.service, 1)
    wait_for_both_processes(following.service)
    following.wait_for_agreement()
    assert following.service.metric(RESTARTS) == 0


@pytest.mark.long
def test_frozen_process_continues_where_it_was(following, start, mongo_database):
    """Half of the players wait for it meanwhile, so another service makes the changes."""
    uri, name = mongo_database
    twin = start("--processes", "1", "--rate-limit", "1000/1m", "--proof-lifetime", "1s", uri=uri, database=name)
    following.players.append(Player(twin, "frozen", following.pause))
    frozen, _ = workers(following.service)
    os.kill(frozen, signal.SIGSTOP)
    try:
        following.players[-1].start()
        wait_until(lambda: following.players[-1].acknowledged > 100, 60, "changes")
    finally:
        os.kill(frozen, signal.SIGCONT)
    following.wait_for_agreement()
    assert following.service.metric(RESTARTS) == 0


@pytest.mark.long
def test_broken_change_stream_makes_all_processes_unready_until_it_continues(following):
    with following.failing("alwaysOn", "getMore", "aggregate", errorCode=262):
        wait_until(lambda: BEHIND in following.service.readiness()[1], what="the processes are behind")
    following.wait_for_load()  # also until the last write of that time is answered
    for player in following.players:  # writes use the command, too
        assert {answer.status for answer in player.odd} <= {500}
        player.odd.clear()
    following.wait_for_agreement()
    assert following.service.metric(RESTARTS, reason="other") == following.service.metric(RESTARTS) > 0
    assert "reading the board again" not in following.service.log


@pytest.mark.long
def test_lost_history_makes_all_processes_read_the_board_again(following):
    wait_until(lambda: following.open_streams() == 1, what="feeds and ledger read one stream")
    with following.failing({"times": 1}, "getMore", errorCode=286):
        wait_until(lambda: following.service.metric(RESTARTS, reason="history_lost") == 2, what="both read again")
    following.wait_for_load()
    following.wait_for_agreement()
    assert following.service.metric(RESTARTS) == 2


@pytest.mark.long
def test_dropped_collection_empties_the_board_of_all_processes(following):
    following.wait_for_agreement()
    following.database["players"].drop()
    wait_until(lambda: following.service.metric("leaderboard_ranked_players") == 0, what="the board is empty")
    following.wait_for_agreement()
    following.service.post("/api/score", {"score": 7}, token=token("new"))
    following.wait_for_agreement()
    assert following.service.metric(RESTARTS) == 2
