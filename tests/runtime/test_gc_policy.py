"""Ended requests leave no cyclic garbage, so full collections may be rare; the policy runs them at its interval."""

import asyncio
import contextlib
import gc
import re
import signal
import socket
import struct

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.service import RunningService, token
from tests.support.wait import eventually, wait_until
from tornado_app.runtime.gc_policy import run_gc_policy
from tornado_app.runtime.tasks import cancel_and_wait

TIMES = 5


@pytest.fixture(scope="module")
def service(tmp_path_factory, module_database):
    uri, name = module_database
    service = RunningService(
        "--auto-register",
        "--idle-timeout",
        "1s",
        uri=uri,
        database=name,
        program=("-m", "tests.support.gc_probe_service"),
    )
    try:
        service.start(tmp_path_factory.mktemp("service") / "log")
        found(service)  # of the start
        yield service
    finally:
        service.close()


def found(service):
    """The types of the present cyclic garbage."""
    seen = len(searches(service))
    service.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: len(searches(service)) > seen, what="a search")
    return searches(service)[-1].split()


def searches(service):
    return re.findall(r"^garbage:(.*)\n", service.log, re.MULTILINE)


def post(service):
    assert service.post("/api/score", {"score": 1}, token=token("alice")).status in (200, 201, 429)


def refused(service):
    assert service.post("/api/score", {"score": 1}, token="x").status == 401


def limited(service):
    """Ten updates are free."""
    statuses = [service.post("/api/score", {"score": 1}, token=token("busy")).status for _ in range(11)]
    assert statuses[-1] == 429


def oddly(service):
    """The same in Tornado's way."""
    with raw(service) as client:
        auth = f"Authorization: Bearer {token('busy')}\r\nContent-Type: application/json\r\nContent-Length: 12"
        for _ in range(11):
            client.sendall(f'\r\nPOST /api/score HTTP/1.1\r\nHost: x\r\n{auth}\r\n\r\n{{"score": 1}}'.encode())
            answer = client.recv(10_000)
        assert answer.startswith(b"HTTP/1.1 429")


def reset(service):
    with raw(service) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(10_000).startswith(b"HTTP/1.1 200")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def read(service):
    assert service.get("/api/leaderboard").status == 200


def malformed(service):
    with raw(service) as client:
        client.sendall(b"GET / HTTP/1.1\r\nno colon\r\n\r\n")
        while client.recv(1000):
            pass


def gone_in_the_middle(service):
    with raw(service) as client:
        client.sendall(b"POST /api/score HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")


def raw(service):
    return socket.create_connection(("127.0.0.1", int(service.url.rpartition(":")[2])), timeout=20)


def watched(service):
    with connect(f"{service.ws_url}/ws/leaderboard?token={token('alice')}") as client:
        client.recv(timeout=20)


def handshake(target):
    lines = [f"GET {target} HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC==", "", ""]
    return "\r\n".join(lines).encode()


def cut(service):
    with raw(service) as client:
        client.sendall(handshake("/ws/scoreboard"))
        while b"top_scores" not in client.recv(10_000):
            pass


def gone_before_it_is_turned_away(service):
    """The service's last write has no client."""
    with raw(service) as client:
        client.sendall(handshake("/ws/scoreboard?token=x"))


def gone_before_it_is_let_in(service):
    with raw(service) as client:
        client.sendall(handshake("/ws/scoreboard"))


def turned_away(service):
    with connect(f"{service.ws_url}/ws/scoreboard?token=x") as client, contextlib.suppress(ConnectionClosed):
        while True:
            client.recv(timeout=20)


def no_handshake(service):
    assert service.get("/ws/scoreboard", headers={"Upgrade": "websocket"}).status == 426


ACTS = (
    *(post, refused, limited, oddly, read, reset, malformed, gone_in_the_middle),
    *(watched, cut, turned_away, no_handshake, gone_before_it_is_turned_away, gone_before_it_is_let_in),
)


@pytest.mark.parametrize("act", ACTS)
def test_ended_requests_leave_no_reference_cycles(service, act):
    for _ in range(TIMES):
        act(service)
    wait_until(lambda: not service.metric("leaderboard_websocket_connections"), what="all sockets are closed")
    assert found(service) == []


async def test_full_collections_run_at_their_scheduled_times_only():
    gc.unfreeze()  # the collected tests, which tests/conftest.py froze
    before, thresholds = gc.get_threshold(), []

    def record(phase, collection):
        if phase == "start" and collection["generation"] == 2:
            thresholds.append(gc.get_threshold())

    task = asyncio.ensure_future(run_gc_policy(interval=0.01))
    await eventually(gc.get_freeze_count)  # the first collection precedes it
    gc.callbacks.append(record)
    try:
        await eventually(lambda: len(thresholds) > 2)
    finally:
        gc.callbacks.remove(record)
    assert {(young, middle) for young, middle, _ in thresholds} == {before[:2]}
    assert min(full for _, _, full in thresholds) > 1_000_000
    await cancel_and_wait(task)
    assert gc.get_threshold() == before
    assert not gc.get_freeze_count()
    gc.freeze()
