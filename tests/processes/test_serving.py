"""Two real processes on one port: both serve, one scrape has both, and a killed one restarts."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from itertools import pairwise

import pytest
from websockets.sync.client import connect

from tests.support.certificates import start_with_tls
from tests.support.command import need_mongod
from tests.support.processes import Player, alive, wait_for_both_processes, wait_for_restarts, workers
from tests.support.service import token
from tests.support.wait import wait_until

UPDATES = "leaderboard_score_submissions_total"


def score(service, user, points=1, **options):
    answer = service.post("/api/score", {"score": points}, token=token(user), **options)
    assert answer.status in (200, 201), answer
    return answer


def test_processes_share_a_port_and_label_their_log_lines(start, mongo_database):
    uri, name = mongo_database
    service = start(uri=uri, database=name)
    wait_for_both_processes(service)
    for n in range(8):
        score(service, f"p{n}")
    pids = set(workers(service))
    assert len(pids) == 2
    assert service.stop() == 0
    assert service.log.count("leaderboard ready at ") == 1
    lines = [json.loads(line) for line in service.log.splitlines() if not line.startswith("leaderboard ready at ")]
    assert {line["process"] for line in lines} == pids | {service.process.pid}
    assert {line["pid"] for line in lines if line["message"] == "worker process is ready"} == pids


def test_metrics_of_both_processes_are_summed(start, mongo_database):
    uri, name = mongo_database
    service = start("--rate-limit", "600/1m", uri=uri, database=name)
    wait_for_both_processes(service)
    for n in range(40):
        score(service, f"p{n % 4}")
    with contextlib.ExitStack() as sockets:
        for _ in range(20):
            sockets.enter_context(connect(f"{service.ws_url}/ws/score"))
        assert service.metric("leaderboard_websocket_connections") == 20
    assert service.metric(UPDATES, frontend="A", result="accepted") == 40
    assert service.metric("leaderboard_score_points_total") == 40
    assert service.metric("leaderboard_http_requests_total", route="/api/score") == 40
    assert service.metric("leaderboard_processes") == 2
    assert service.metric("leaderboard_ledger_writer") == 1
    assert service.metric("leaderboard_build_info") == 1
    wait_until(lambda: service.metric("leaderboard_ranked_players") == 4, what="the players, not twice as many")


@pytest.mark.long
def test_metrics_of_an_ended_process_are_kept(start, mongo_database):
    uri, name = mongo_database
    service = start("--rate-limit", "600/1m", uri=uri, database=name)
    before = workers(service)
    for n in range(20):
        score(service, f"p{n % 4}")
    os.kill(before[0], signal.SIGTERM)  # nothing was scraped yet: it reports its metrics when it ends
    after = wait_for_restarts(service, 1)
    assert service.metric(UPDATES, result="accepted") == 20
    assert set(before) & set(after) == {before[1]}
    wait_for_both_processes(service)


@pytest.mark.long
def test_killed_processes_restart_under_load_without_loss(start, mongo_database):
    uri, name = mongo_database
    service = start("--rate-limit", "1000/1m", "--proof-lifetime", "1s", uri=uri, database=name)
    stop = threading.Event()
    players = [Player(service, f"p{n}", stop) for n in range(4)]
    counted = [0.0]
    for player in players:
        player.start()
    for kill in range(3):
        seen = sum(player.acknowledged for player in players)
        wait_until(lambda seen=seen: sum(player.acknowledged for player in players) > seen + 40, 60, "load")
        counted.append(service.metric(UPDATES))
        before = workers(service)
        os.kill(before[kill % 2], signal.SIGKILL)
        wait_until(lambda: counted.append(service.metric(UPDATES)) or len(workers(service)) == 2, 30, "it is replaced")
        assert set(wait_for_restarts(service, kill + 1)) != set(before)
        counted.append(service.metric(UPDATES))
    stop.set()
    for player in players:
        player.join(30)
        assert not player.is_alive()
        assert player.odd == []
        assert service.get(f"/api/v1/players/{player.player}").json["score"] == player.acknowledged
    assert all(later >= earlier for earlier, later in pairwise(counted))
    assert counted[-1] > 0
    assert "Traceback" not in service.log


def _missed(service, found):
    """Whether readiness reports a missing process, recorded in `found`: it may be back before the next request."""
    missed = "not all processes run" in service.readiness()[1]
    found += [True] * missed
    return missed


@pytest.mark.long
def test_crash_loop_backs_off_while_the_other_process_serves(start, mongo_database):
    uri, name = mongo_database
    service = start(uri=uri, database=name)
    survivor, victim = workers(service)
    missed = []
    for crash in range(1, 5):
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda crash=crash: _missed(service, missed) or service.log.count("restarting it") == crash)
        # Until it has exited, the kernel may still give it a connection.
        wait_until(lambda crash=crash: service.log.count("restarting it") == crash)
        assert service.get("/readyz").status == 200
        [victim] = set(wait_for_restarts(service, crash)) - {survivor}
    wait_until(lambda: service.readiness() == (200, []))
    assert missed
    lines = [json.loads(line) for line in service.log.splitlines() if "restarting it" in line]
    for exponent, line in enumerate(lines):
        assert 0.05 * 2**exponent <= line["pause"] <= 0.1 * 2**exponent
        assert "exited with code -9" in line["reason"]
    assert len(lines) == 4


@pytest.mark.long
def test_hanging_process_delays_neither_a_scrape_nor_the_shutdown(start, mongo_database):
    uri, name = mongo_database
    service = start("--drain-timeout", "1s", uri=uri, database=name)
    for n in range(10):
        score(service, f"p{n}")
    assert service.metric(UPDATES) == 10
    pids = workers(service)
    os.kill(pids[0], signal.SIGSTOP)
    assert service.metric(UPDATES) == 10
    assert service.readiness() == (503, ["a process does not answer"])
    service.signal(signal.SIGTERM)
    assert service.wait(10) == 0
    assert alive(pids) == []


@pytest.mark.long
def test_processes_serve_tls(start, mongo_database, tmp_path):
    uri, name = mongo_database
    tls = start_with_tls(start, tmp_path, uri=uri, database=name)
    seen = set()

    def both_serve():
        seen.add(tls.request("/healthz").headers["X-Request-Id"].partition("-")[0])
        return len(seen) == 2

    wait_until(both_serve, what="both processes serve HTTPS")


@pytest.mark.long
def test_processes_share_the_embedded_database_and_keys(start, tmp_path):
    need_mongod()
    data = tmp_path / "data"
    service = start("--data-dir", str(data), env={"LEADERBOARD_JWT_KEY": None})
    command = [sys.executable, "-m", "tornado_app", "token", "--sub", "alice", "--data-dir", str(data)]
    made = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    wait_for_both_processes(service)
    scores = [service.post("/api/score", {"score": 5}, token=made).json["score"] for _ in range(8)]
    assert scores == list(range(5, 45, 5))
    wait_until(lambda: service.get("/api/top-scores").json["top_scores"][0]["score"] == 40)


@pytest.mark.parametrize("processes", ["2", "1"])
def test_port_of_another_service_is_not_shared(start, mongo_database, processes):
    """The kernel would share it, because it does not distinguish the sockets of one user."""
    uri, name = mongo_database
    port = start(uri=uri, database=name).url.rpartition(":")[2]
    with pytest.raises(AssertionError, match=f"error: port {port} on 127.0.0.1 cannot be used"):
        start("--port", port, "--processes", processes, uri=uri, database=name)
