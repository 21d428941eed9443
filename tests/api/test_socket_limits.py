"""Limits and closing of sockets. Source: the API contract, sections 4 and 5."""

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.raw_http import HANDSHAKE, RawConnection, quietly
from tests.support.service import token
from tests.support.wait import wait_until
from tests.support.websocket_client import PATHS, add, best, fill, lead, opened, register

MAX_MESSAGE = 8 * 1024
each_path = pytest.mark.parametrize("path", PATHS)


@pytest.fixture
def run_alone(run_service, mongo_database):
    """Starts services on an empty board of the test's own."""
    uri, name = mongo_database

    def run(*flags, **options):
        return run_service(*flags, uri=uri, database=name, **options)

    return run


# -- messages ---------------------------------------------------------------------------------------------


JUNK = [
    "", " ", "x", "null", "5", "[]", "{}", '{"type":5}', '{"type":"nope"}', '{"type":"authenticate"}',
    '{"type":"authenticate","token":5}', '{"type":"authenticate","token":null}', '{"token":"garbage"}',
    '{"type":"authenticate","token":["a"]}', '{"type":"authenticate","token":"\\ud800"}', '{"type":"subscribe"}',
    "[" * 8000, '{"a":' * 800, "\0", "\ud7ff" * 1000, "x" * MAX_MESSAGE, b"", b"\x00\xff", b"x" * MAX_MESSAGE,
    b'{"type":"authenticate","token":"\xff"}', ["frag", "ments"],
]  # fmt: skip


@each_path
def test_meaningless_message_is_ignored(service, path):
    with opened(service, path) as watcher:
        watcher.read()
        for message in JUNK:
            watcher.send(message)
        marker, _ = lead(service)
        watcher.read_until(lambda message: best(message) == marker)
    quietly(service)


@each_path
@pytest.mark.parametrize(
    "message",
    ["x" * (MAX_MESSAGE + 1), "é" * MAX_MESSAGE, b"x" * 1024 * 1024, ["x" * 6000, "y" * 6000], b"x" * 16 * 1024 * 1024],
    ids=["a byte more", "characters", "1 MiB", "fragments", "16 MiB"],
)
def test_message_over_8_kib_closes_with_1009(service, path, message):
    with opened(service, path) as watcher:
        watcher.read()
        with ThreadPoolExecutor(1) as pool:  # the service need not wait for all of it
            sending = pool.submit(watcher.send, message)
            assert watcher.ended() == (1009, "a message may have 8192 bytes")
            assert isinstance(sending.exception(), ConnectionClosed | None)
    quietly(service)


def test_malformed_frame_closes_the_connection(service):
    for frame in (b"\xf1\x80\0\0\0\0", b"\x83\x80\0\0\0\0", b"\x89\xfe\0\x7e" + b"\0" * 130, b"\x80\x80\0\0\0\0"):
        with RawConnection(service.url) as wire:
            wire.send(*HANDSHAKE)
            assert wire.file.readline().startswith(b"HTTP/1.1 101")
            wire.socket.sendall(frame)
            wire.file.read()  # to the end
    quietly(service)


def test_vanished_clients_are_removed(service):
    for n in range(40):
        with RawConnection(service.url) as wire:
            wire.send(*HANDSHAKE)
            if n % 2:
                wire.file.readline()
            wire.close(abruptly=n % 4 < 2)
    wait_until(lambda: service.metric("leaderboard_websocket_connections") == 0, what="all are gone")
    quietly(service)


# -- origins ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin",
    ["https://evil.test", "null", "http://[", "http://127.0.0.1", "evil", "http://127.0.0.1:1", "file://", "http://"],
)
@each_path
def test_socket_of_another_origin_closes_with_4403(service, path, origin):
    with opened(service, path, origin=origin) as watcher:
        assert watcher.ended() == (4403, "origin_not_allowed")
    with opened(service, path, headers={"Origin": origin, "Sec-Fetch-Site": "cross-site"}) as watcher:
        assert watcher.ended() == (4403, "origin_not_allowed")
    quietly(service)


@each_path
def test_socket_of_the_services_own_page_opens(service, path):
    for headers in (
        {"Origin": service.url},
        {"Origin": service.url.upper()},
        {"Origin": service.url, "Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://name.behind.a.proxy.test", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        with opened(service, path, headers=headers) as watcher:
            watcher.read()


@each_path
@pytest.mark.parametrize("query", ["season=2", "_=1700000000", "token=&token="])
def test_unknown_query_argument_closes_with_4400(service, path, query):
    with opened(service, f"{path}?{query}") as watcher:
        assert watcher.ended() == (4400, "invalid_request")


@each_path
def test_socket_of_an_allowed_origin_opens_and_no_other(open_service, path):
    with opened(open_service, path, origin="https://game.test") as watcher:
        watcher.read()
    for origin in ("https://game.test.evil.test", "http://game.test", "https://game.test:444", "https://sub.game.test"):
        with opened(open_service, path, origin=origin) as watcher:
            assert watcher.ended() == (4403, "origin_not_allowed")


def test_messages_of_a_refused_client_are_ignored(service):
    """Its token would make it a subscriber that is never removed from the hub."""
    user = register(service)
    with opened(service, "/ws/leaderboard", origin="https://evil.test") as watcher:
        with pytest.raises(ConnectionClosed):
            for _ in iter(lambda: watcher.send(json.dumps({"type": "authenticate", "token": token(user)})), 1):
                pass
        assert watcher.ended() == (4403, "origin_not_allowed")
    add(service, user, 1)
    quietly(service)


# -- how many ---------------------------------------------------------------------------------------------


def test_socket_beyond_the_maximum_closes_with_4429(run_alone):
    service = run_alone("--max-connections", "2")
    with opened(service, "/ws/leaderboard") as one:
        assert one.read()["data"] == {"updatedPositions": []}
        with opened(service) as two:
            assert two.read()["top_scores"] == []
            for path in PATHS:
                with opened(service, path) as three:
                    assert three.ended() == (4429, "too_many_connections")
            user, _ = lead(service)
            assert best(two.read()) == user
        wait_until(lambda: service.metric("leaderboard_websocket_connections") == 1, what="one has left")
        with opened(service, "/ws/score") as three:
            assert best(three.read()) == user


@pytest.mark.long
def test_client_that_never_reads_is_closed_and_others_are_served(run_alone):
    service = run_alone("--broadcast-interval", "10ms", "--max-messages-per-second", "1000", "--rate-limit", "600/60s")
    users = fill(service, 10)
    for user in users:
        register(service, user, username="💯" * 64)
    with RawConnection(service.url, receive_buffer=2048) as stalled, opened(service) as watcher:
        stalled.send(*HANDSHAKE)
        watcher.read()
        movers = cycle(users)

        def evicted():
            for _ in range(20):  # until the two ends of the connection hold no more, and then for ten seconds
                add(service, next(movers), 1)
            return service.metric("leaderboard_websocket_evictions_total", reason="stalled") == 1

        wait_until(evicted, 40, "an eviction")
        marker, _ = lead(service)
        watcher.read_until(lambda message: best(message) == marker)
        wait_until(lambda: service.metric("leaderboard_websocket_connections") == 1, what="one is left")
    quietly(service)


@pytest.mark.long
def test_client_without_pongs_is_closed_and_others_are_served(run_alone):
    service = run_alone("--ping-interval", "300ms")
    with RawConnection(service.url) as mute, opened(service) as watcher:
        mute.send(*HANDSHAKE)
        watcher.read()
        assert mute.file.readline().startswith(b"HTTP/1.1 101")
        frames = mute.file.read()  # to the end
        assert frames.count(b"\x89\0") == 1
        assert frames.endswith(b"\x89\0\x88\x10\x03\xe8ping timed out")
        assert service.metric("leaderboard_websocket_connections") == 1
        user, _ = lead(service)
        watcher.read_until(lambda message: best(message) == user)
    quietly(service)


# -- the end ----------------------------------------------------------------------------------------------


def test_sigterm_closes_sockets_with_spread_reconnect_delays(run_alone):
    service = run_alone()
    with ExitStack() as stack:
        probe, late = (stack.enter_context(RawConnection(service.url)) for _ in range(2))
        for wire in (probe, late):
            wire.send("GET /readyz HTTP/1.1")
            assert wire.read().status == 200
        watchers = [stack.enter_context(opened(service, PATHS[n % 3])) for n in range(30)]
        pool = stack.enter_context(ThreadPoolExecutor(len(watchers)))
        endings = [pool.submit(lambda w=watcher: (w.ended(), time.monotonic())) for watcher in watchers]
        began = time.monotonic()
        service.signal(signal.SIGTERM)
        wait_until(lambda: any(each.done() for each in endings), what="the first socket is closed")
        probe.send("GET /readyz HTTP/1.1")
        answer = probe.read()
        assert (answer.status, json.loads(answer.body)["reasons"]) == (503, ["draining"])
        late.send(*HANDSHAKE)
        assert late.read().error == "shutting_down"
        ends, moments = zip(*[each.result() for each in endings], strict=True)
        assert set(ends) == {(1001, "going away")}
        assert 0.9 < max(moments) - min(moments) < 2.5
        assert service.wait() == 0
        assert time.monotonic() - began < 10
    assert "Traceback" not in service.log


@pytest.mark.long
def test_sigterm_does_not_wait_for_unresponsive_clients(run_alone):
    service = run_alone()
    with ExitStack() as stack:
        for _ in range(3):
            wire = stack.enter_context(RawConnection(service.url))
            wire.send(*HANDSHAKE)
            assert wire.file.readline().startswith(b"HTTP/1.1 101")
        began = time.monotonic()
        service.signal(signal.SIGTERM)
        assert service.wait() == 0
        assert time.monotonic() - began < 8
    assert "Traceback" not in service.log
