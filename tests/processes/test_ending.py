"""Shutdown of several processes: drained by one signal, ended by two, and with their supervisor."""

import os
import re
import signal
import threading
import time

import pytest
from websockets.sync.client import connect

from tests.support.command import Command, need_mongod
from tests.support.processes import alive, child_processes, workers
from tests.support.service import token
from tests.support.wait import wait_until

ERROR = re.compile(r"^error: .*", re.MULTILINE)


@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGTERM, id="SIGTERM"), pytest.param(signal.SIGINT, id="SIGINT", marks=pytest.mark.long)],
)
def test_signal_drains_all_processes(start, mongo_database, number):
    uri, name = mongo_database
    service = start("--rate-limit", "600/1m", uri=uri, database=name)
    pids = workers(service)
    acknowledged, refused, broken = [], [], []

    def player(user):
        while True:
            try:
                answer = service.post("/api/score", {"score": 1}, token=token(user))
            except OSError as error:
                broken.append(error)  # the port is closed
                return
            if answer.status not in (200, 201):
                refused.append(answer)
                return
            acknowledged.append(user)

    users = [f"p{n}" for n in range(8)]
    threads = [threading.Thread(target=player, args=(user,), daemon=True) for user in users]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(acknowledged) > 100, what="load")
    service.signal(number)
    assert service.wait(15) == 0
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert alive(pids) == []
    assert {(answer.status, answer.json["error"]) for answer in refused} <= {(503, "shutting_down")}
    assert all(isinstance(error, ConnectionError) for error in broken)
    assert service.log.count('"message":"draining"') == 2
    assert service.log.count('"message":"stopped"') == 1
    assert "Traceback" not in service.log
    after = start(uri=uri, database=name)
    for user in users:
        assert after.get(f"/api/v1/players/{user}").json["score"] == acknowledged.count(user)


@pytest.mark.long
def test_signal_to_every_process_drains_once(start, mongo_database):
    """systemd sends the signal to all processes, and the supervisor sends it again."""
    uri, name = mongo_database
    service = start(uri=uri, database=name)
    pids = workers(service)
    with connect(f"{service.ws_url}/ws/score"):
        for pid in (*pids, service.process.pid, *pids):
            os.kill(pid, signal.SIGTERM)
        assert service.wait(15) == 0
    assert alive(pids) == []
    assert service.log.count('"message":"draining"') == 2
    assert "Traceback" not in service.log


def test_second_signal_ends_at_once(own_replica_set, start):
    service = start("--drain-timeout", "60s", "--mongodb-timeout", "30s", uri=own_replica_set.uri)
    pids = workers(service)
    mongod = own_replica_set.members[0]
    mongod.freeze()
    try:
        with connect(f"{service.ws_url}/ws/score"):
            service.signal(signal.SIGINT)
            wait_until(lambda: '"draining"' in service.log, what="it drains")
            service.signal(signal.SIGINT)
            assert service.wait(10) == 130
        assert alive(pids) == []
        assert "Traceback" not in service.log
    finally:
        mongod.thaw()


@pytest.mark.long
def test_hanging_database_does_not_delay_the_shutdown(start, tmp_path):
    need_mongod()
    service = start("--drain-timeout", "3s", "--mongodb-timeout", "60s", "--data-dir", str(tmp_path / "data"))
    everybody = child_processes(service.process.pid)
    [mongod] = [pid for pid, command in everybody.items() if b"mongod" in command.split(b"\0")[0]]
    os.kill(mongod, signal.SIGSTOP)
    began = time.monotonic()
    service.signal(signal.SIGTERM)
    assert service.wait(20) == 0
    assert time.monotonic() - began < 3 + 2 + 5  # the drain, the cut, and a busy machine
    assert alive(everybody) == []


@pytest.mark.long
def test_killed_supervisor_leaves_no_process(start, tmp_path):
    need_mongod()
    data = tmp_path / "data"
    service = start("--data-dir", str(data))
    everybody = child_processes(service.process.pid)
    assert len(everybody) == 3
    service.kill()
    wait_until(lambda: not alive(everybody), 5, "nothing is left")
    again = start("--data-dir", str(data), "--port", service.url.rpartition(":")[2])
    assert again.get("/readyz").status == 200


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_signal_during_the_start_ends_all_processes(tmp_path, number):
    need_mongod()
    flags = ("--processes", "2", "--port", "0", "--metrics-port", "0", "--data-dir", str(tmp_path / "data"))
    with Command("serve", *flags, folder=tmp_path) as command:
        wait_until(lambda: workers(command), 30, "a process starts")
        everybody = child_processes(command.process.pid)
        command.process.send_signal(number)
        assert command.process.wait(15) == 0
        assert alive(everybody) == []
        assert "Traceback" not in command.errors
        assert not ERROR.search(command.errors)


@pytest.mark.long
def test_startup_error_of_all_processes_is_printed_once(start, tmp_path):
    uri = "mongodb://127.0.0.1:9/?replicaSet=rs0"
    with pytest.raises(AssertionError, match="did not start"):
        start("--mongodb-timeout", "500ms", uri=uri)
    log = (tmp_path / "log1").read_text()
    [line] = ERROR.findall(log)
    assert "cannot be reached" in line
    assert "restarting it" not in log
    assert "Traceback" not in log
