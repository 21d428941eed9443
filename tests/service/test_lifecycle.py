"""A service's life as a process: start, serve, stop, with each driver, over TLS, and on the embedded database."""

import contextlib
import signal
import ssl
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import pytest
from websockets.sync.client import connect

from tests.support.certificates import start_with_tls, write_pair
from tests.support.service import KEY, token
from tests.support.wait import wait_until


@pytest.mark.long
def test_service_with_motor_serves_the_same(start, mongo_database):
    uri, name = mongo_database
    one = start("--mongodb-driver", "motor", uri=uri, database=name)
    other = start(uri=uri, database=name)
    body, headers = {"score": 5}, {"Idempotency-Key": "x"}
    assert one.post("/api/score", body, token=token("ann"), headers=headers).status == 201
    assert other.post("/api/score", body, token=token("ann"), headers=headers).headers["Idempotent-Replay"] == "true"
    for service in (one, other):
        wait_until(lambda service=service: service.get("/api/top-scores").json["top_scores"], what="seen by both")
        assert service.get("/api/v1/players/ann").json["rank"] == 1


def test_service_with_the_embedded_database_generates_its_key(start, tmp_path):
    data = tmp_path / "data"
    service = start("--data-dir", str(data), env={"LEADERBOARD_JWT_KEY": None})
    assert (data / "jwt.key").stat().st_mode & 0o777 == 0o600
    command = [sys.executable, "-m", "tornado_app", "token", "--sub", "alice", "--name", "Zoë", "--data-dir", str(data)]
    made = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    assert service.post("/api/score", {"score": 5}, token=made).status == 201
    assert service.stop() == 0
    again = start("--data-dir", str(data), env={"LEADERBOARD_JWT_KEY": None})
    assert again.get("/api/v1/players/alice").json["username"] == "Zoë"
    assert again.post("/api/score", {"score": 5}, token=made).json["score"] == 10


def test_stop_under_load_keeps_every_acknowledged_update(start, mongo_database):
    uri, name = mongo_database
    service = start("--rate-limit", "600/1m", uri=uri, database=name)
    acknowledged, refused = [], []

    def player(user):
        while True:
            try:
                answer = service.post("/api/score", {"score": 1}, token=token(user))
            except OSError:
                return  # the port is closed
            if answer.status not in (200, 201):
                refused.append(answer)
                return
            acknowledged.append(user)

    threads = [threading.Thread(target=player, args=(f"p{n}",), daemon=True) for n in range(8)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(acknowledged) > 100, what="load")
    assert service.stop() == 0
    for thread in threads:
        thread.join(30)
    assert all((a.status, a.json["error"]) == (503, "shutting_down") for a in refused)
    after = start(uri=uri, database=name)
    for user in {f"p{n}" for n in range(8)}:
        assert after.get(f"/api/v1/players/{user}").json["score"] == acknowledged.count(user)
    assert "Traceback" not in service.log


def test_readiness_is_false_while_draining(start, mongo_database):
    uri, name = mongo_database
    service = start(uri=uri, database=name)
    with contextlib.ExitStack() as sockets:
        for _ in range(20):
            sockets.enter_context(connect(f"{service.ws_url}/ws/score"))
        service.signal(signal.SIGTERM)
        wait_until(lambda: service.readiness() == (503, ["draining"]), 5, "draining")
        assert service.wait() == 0


def test_service_serves_tls_and_renews_the_certificate(start, mongo_database, tmp_path):
    uri, name = mongo_database
    tls = start_with_tls(start, tmp_path, uri=uri, database=name)
    assert tls.request("/healthz").status == 200
    url = urlsplit(tls.service.url)
    address = (url.hostname, url.port)
    before = ssl.get_server_certificate(address)
    write_pair(tls.certificate, tls.key, 2)
    wait_until(lambda: ssl.get_server_certificate(address) != before, 15, "the new certificate")


def run(*flags, env=None):
    command = [sys.executable, "-m", "tornado_app", "serve", "--port", "0", "--metrics-port", "0", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)


def test_startup_error_is_one_line(start, mongo_database, tmp_path):
    uri, name = mongo_database
    taken = start(uri=uri, database=name).url.rsplit(":", 1)[1]
    env = {"LEADERBOARD_JWT_KEY": KEY, "LEADERBOARD_ACTION_PROOF": "optional", "PATH": "/usr/bin:/bin"}
    nobody = run("--mongodb-uri", "mongodb://127.0.0.1:9/?replicaSet=rs0", "--mongodb-timeout", "500ms", env=env)
    in_use = run("--mongodb-uri", uri, "--port", taken, env=env)
    for found in (nobody, in_use):
        assert found.returncode == 1
        errors = [line for line in found.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert "Traceback" not in found.stderr
    assert "cannot be reached" in nobody.stderr
    assert f"port {taken}" in in_use.stderr
    keyless = run("--mongodb-uri", uri, env={"PATH": "/usr/bin:/bin"})
    assert (keyless.returncode, "LEADERBOARD_JWT_KEY" in keyless.stderr) == (2, True)
