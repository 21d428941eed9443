"""`leaderboard serve` as a process: started, interrupted at any moment, killed, signalled twice.

Stopping under load, TLS and the two drivers are in test_lifecycle.py.
"""

import contextlib
import json
import os
import re
import shlex
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.support.command import Command, need_mongod
from tests.support.service import RunningService, token
from tests.support.wait import wait_until

ERROR = re.compile(r"^error: .*", re.MULTILINE)


def processes_on(folder):
    """The ids of the processes that were started on a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and entry.name != str(os.getpid()):
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # it has ended meanwhile
            if str(folder).encode() in command and b"mongod" in command.split(b"\0")[0]:
                found.append(int(entry.name))
    return found


def scored(service, user, points, **options):
    answer = service.post("/api/score", {"score": points}, token=token(user), **options)
    assert answer.status in (200, 201), answer
    return answer.json["score"]


# -- ready ------------------------------------------------------------------------------------------------


def test_service_is_ready_at_its_ready_line(start, mongo_database):
    uri, name = mongo_database
    for _ in range(3):
        service = start(uri=uri, database=name)
        assert service.get("/readyz").status == 200
        assert service.get("/api/top-scores").status == 200
        assert scored(service, "alice", 1)
        assert service.stop() == 0
        assert json.loads(service.log.splitlines()[-1])["message"] == "stopped"


def test_two_services_show_each_others_updates(start, mongo_database):
    uri, name = mongo_database
    services = [start(uri=uri, database=name) for _ in range(2)]
    with ExitStack() as stack:
        sockets = [stack.enter_context(connect(f"{service.ws_url}/ws/scoreboard")) for service in services]
        for turn in range(6):
            scored(services[turn % 2], f"p{turn}", 10 + turn)
            for socket in sockets:
                while f"p{turn}" not in shown(socket):
                    pass
    boards = [service.get("/api/top-scores").json for service in services]
    assert boards[0] == boards[1]
    assert [row["user_id"] for row in boards[0]["top_scores"]] == [f"p{n}" for n in range(5, -1, -1)]


def shown(socket):
    return [row["user_id"] for row in json.loads(socket.recv(timeout=15))["top_scores"]]


def test_propagation_latency_counts_new_updates_only(start, mongo_database):
    """An existing board is old: it would miss the objective at each start."""
    uri, name = mongo_database
    count = "leaderboard_update_propagation_seconds_count"
    first = start(uri=uri, database=name)
    scored(first, "alice", 1)
    wait_until(lambda: first.metric(count) == 1)
    second = start(uri=uri, database=name)
    with connect(f"{second.ws_url}/ws/scoreboard") as socket:
        assert shown(socket) == ["alice"]
        assert second.metric(count) == 0
        scored(second, "alice", 1)
        wait_until(lambda: second.metric(count) == 1)


# -- logs -------------------------------------------------------------------------------------------------


def test_logs_are_json_without_a_terminal(start, mongo_database):
    uri, name = mongo_database
    service = start(uri=uri, database=name)
    scored(service, "alice", 1)
    service.get("/nothing")
    assert service.stop() == 0
    lines = [line for line in service.log.splitlines() if not line.startswith("leaderboard ready at ")]
    assert lines
    for line in lines:
        assert {"ts", "level", "logger", "message"} <= set(json.loads(line))
    assert [json.loads(line)["player"] for line in lines if "score update accepted" in line] == ["alice"]


# -- interrupted ------------------------------------------------------------------------------------------

MOMENTS = {
    "with the folder locked": lambda command, data: (data / "lock").exists(),
    "while mongod starts": lambda command, data: processes_on(data),
    "while mongod becomes a replica set": lambda command, data: (data / "mongodb" / "mongod.lock").exists(),
    "when mongod takes writes": lambda command, data: (data / "mongodb.uri").exists(),
    "while the board is read": lambda command, data: (data / "jwt.key").exists(),
}


@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGINT, id="SIGINT"), pytest.param(signal.SIGTERM, id="SIGTERM", marks=pytest.mark.long)],
)
@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS.keys())
def test_signal_during_the_start_ends_the_service(tmp_path, moment, number):
    need_mongod()
    data = tmp_path / "data"
    flags = ("--port", "0", "--metrics-port", "0", "--data-dir", str(data))
    with Command("serve", *flags, folder=tmp_path) as command:
        wait_until(lambda: moment(command, data), 30)
        command.process.send_signal(number)
        code = command.process.wait(20)
        assert code in (0, 128 + number, -number)  # the last: before Python runs our first line
        assert "Traceback" not in command.errors
        assert not ERROR.search(command.errors)
    wait_until(lambda: not processes_on(data), 5, "no mongod is left")
    assert not (data / "mongodb.uri").exists()


def test_second_ctrl_c_ends_at_once(own_replica_set, start):
    """The first Ctrl-C waits for an update at a hanging database, within its deadline."""
    service = start("--drain-timeout", "60s", "--mongodb-timeout", "30s", uri=own_replica_set.uri)
    mongod = own_replica_set.members[0]
    mongod.freeze()
    try:
        with connect(f"{service.ws_url}/ws/score"):
            service.signal(signal.SIGINT)
            wait_until(lambda: '"draining"' in service.log, what="it drains")
            service.signal(signal.SIGINT)
            assert service.wait(15) == 130
        assert '"stopped"' not in service.log
        assert "Traceback" not in service.log
    finally:
        mongod.thaw()


# -- killed, and asked a second time ----------------------------------------------------------------------


def test_service_restarts_at_once_after_both_are_killed(start, tmp_path):
    need_mongod()
    data = tmp_path / "data"
    score = 0
    for _ in range(3):
        service = start("--data-dir", str(data))
        score += 5
        assert scored(service, "alice", 5) == score
        mongods = processes_on(data)
        assert len(mongods) == 1
        service.kill()
    wait_until(lambda: not processes_on(data), 5, "no mongod is left")


def test_second_service_on_a_data_folder_names_the_remedy(start, tmp_path):
    need_mongod()
    data = tmp_path / "data"
    first = start("--data-dir", str(data), env={"LEADERBOARD_JWT_KEY": None})
    refused = RunningService("--data-dir", str(data), env={"LEADERBOARD_JWT_KEY": None})
    with pytest.raises(AssertionError, match="did not start"):
        refused.start(tmp_path / "refused")
    assert refused.process.returncode == 1
    [line] = ERROR.findall(refused.log)
    assert f"in use by process {first.process.pid}" in line
    flags = re.search(r"(--mongodb-uri-file .*?);", line)[1]
    second = start(*shlex.split(flags), env={"LEADERBOARD_JWT_KEY": None})
    key = (data / "jwt.key").read_text().strip()
    mine = token("alice", key=key)
    assert first.post("/api/score", {"score": 5}, token=mine).status == 201
    assert second.post("/api/score", {"score": 5}, token=mine).json["score"] == 10
    for service in (first, second):
        wait_until(
            lambda service=service: [r["score"] for r in service.get("/api/top-scores").json["top_scores"]] == [10]
        )


def ask_in_vain(service):
    with contextlib.suppress(OSError):
        service.post("/api/score", {"score": 5}, token=token("alice"))


def test_hanging_database_does_not_delay_the_shutdown(start, tmp_path):
    """All steps share one deadline, including the embedded mongod."""
    need_mongod()
    data = tmp_path / "data"
    service = start("--drain-timeout", "3s", "--mongodb-timeout", "60s", "--data-dir", str(data))
    scored(service, "alice", 5)
    [mongod] = processes_on(data)
    os.kill(mongod, signal.SIGSTOP)
    asking = threading.Thread(target=ask_in_vain, args=(service,))
    asking.start()
    wait_until(lambda: service.metric("leaderboard_batch_write_size_count") == 2, what="an update waits")
    began = time.monotonic()
    service.signal(signal.SIGTERM)
    assert service.wait(20) == 0
    assert 2.5 < time.monotonic() - began < 3 + 2 + 5  # the drain, the cut, and a busy machine
    asking.join(10)
    assert processes_on(data) == []
    assert not (data / "mongodb.uri").exists()
    assert "Traceback" not in service.log
    assert scored(start("--data-dir", str(data)), "alice", 5) >= 10  # what was acknowledged has outlived it
