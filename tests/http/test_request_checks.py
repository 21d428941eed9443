"""Oversized requests and slow clients get an error response, or the connection ends; the service logs no error.

Source: the API contract, section 5.
"""

import json
import select
import time
from uuid import uuid4

import pytest

from tests.support.raw_http import RawConnection, quietly
from tests.support.service import token
from tests.support.wait import wait_until


@pytest.fixture
def wire(service):
    with RawConnection(service.url) as wire:
        yield wire


@pytest.fixture(scope="module")
def short_timeout_service(run_service, module_database):
    """A service with short timeouts."""
    uri, name = module_database
    return run_service("--body-timeout", "500ms", "--idle-timeout", "500ms", uri=uri, database=name)


# -- too large ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [18 * 1024, 20 * 1024, 60 * 1024])
def test_headers_beyond_18_kib_are_431_and_the_connection_stays_open(wire, size):
    wire.send("GET /healthz HTTP/1.1", f"X-Long: {'x' * size}")
    answer = wire.read()
    assert (answer.status, answer.error) == (431, "headers_too_large")
    assert b"larger than 18432 bytes" in answer.body
    wire.send("GET /healthz HTTP/1.1")
    assert wire.read().status == 200


@pytest.mark.parametrize("line", ["GET /healthz HTTP/1.1", "GET /ws/score HTTP/1.1"])
@pytest.mark.parametrize("size", [65 * 1024, 200 * 1024, 1024 * 1024])
def test_headers_beyond_64_kib_are_431_and_the_connection_closes(service, wire, line, size):
    wire.send(line, "Connection: Upgrade", "Upgrade: websocket", *[f"X-{n}: {'x' * 1000}" for n in range(size // 1000)])
    answer = wire.read()
    assert (answer.status, answer.error, answer.headers["connection"]) == (431, "headers_too_large", "close")
    assert wire.ended()
    quietly(service)


def test_headers_beyond_the_maximum_count_are_431(wire):
    wire.send("GET /healthz HTTP/1.1", *[f"X-{n}: 1" for n in range(3000)])
    assert wire.read().error == "headers_too_large"


def test_endless_headers_time_out(service, wire):
    wire.socket.sendall(b"GET /healthz HTTP/1.1\r\n")
    with pytest.raises(OSError, match=r"(?i)reset|broken pipe"):  # the service lingers for a limited time
        wire.socket.sendall(b"X-More: xxxxxxxxxxxxxxxxxxxx\r\n" * 4_000_000)
    quietly(service)


@pytest.mark.parametrize("size", [16 * 1024 + 1, 2 * 1024 * 1024, 10 * 1024**3, 2**63, 10**30, int("9" * 4000)])
def test_declared_body_beyond_the_limit_is_413_before_it_is_sent(wire, size):
    sent = min(size, 100)
    head = ["POST /api/score HTTP/1.1", "Content-Type: application/json", f"Content-Length: {str(size).zfill(1)}"]
    wire.send(*head, body=b"x" * sent)
    if size <= 1024 * 1024:  # little enough to be read completely
        wire.socket.sendall(b"x" * (size - sent))
    answer = wire.read()
    assert (answer.status, answer.error) == (413, "body_too_large")
    if size <= 1024 * 1024:
        wire.send("GET /healthz HTTP/1.1")
        assert wire.read().status == 200
    else:
        assert answer.headers["connection"] == "close"
        assert wire.ended()


def test_content_length_of_5000_digits_is_refused(wire):
    wire.send("POST /api/score HTTP/1.1", f"Content-Length: {'9' * 5000}")
    answer = wire.read()
    assert (answer.status, answer.error) == (413, "body_too_large")
    assert wire.ended()


@pytest.mark.parametrize("chunk", [1, 1000, 16 * 1024, 1024 * 1024])
def test_chunked_body_beyond_the_limit_is_413(wire, chunk):
    wire.send("POST /api/score HTTP/1.1", "Transfer-Encoding: chunked")
    piece = b"%x\r\n" % chunk + b"x" * chunk + b"\r\n"
    wire.socket.sendall(piece * (17 * 1024 // chunk + 1) + b"0\r\n\r\n")
    answer = wire.read()
    assert (answer.status, answer.error) == (413, "body_too_large")
    wire.send("GET /healthz HTTP/1.1")
    assert wire.read().status == 200


def test_endless_chunks_are_413_and_the_connection_closes(service, wire):
    wire.send("POST /api/score HTTP/1.1", "Transfer-Encoding: chunked")
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    while not select.select([wire.socket], [], [], 0)[0]:
        wire.socket.sendall(piece)
    wire.socket.sendall(piece * 10 + b"no chunk\r\n")
    answer = wire.read()
    assert (answer.status, answer.error, answer.headers["connection"]) == (413, "body_too_large", "close")
    assert wire.ended()  # and no second answer to the chunk that is none
    quietly(service)


def test_chunked_body_within_the_limit_is_read(service, wire):
    user = f"u-{uuid4().hex[:8]}"
    auth = f"Authorization: Bearer {token(user)}"
    wire.send(
        "POST /api/score HTTP/1.1", auth, "Transfer-Encoding: chunked", body=b'5\r\n{"sco\r\n6\r\nre":5}\r\n0\r\n\r\n'
    )
    answer = wire.read()
    assert (answer.status, json.loads(answer.body)["score"]) == (201, 5)


def test_handshake_with_a_body_is_refused(service, wire):
    """Tornado would collect the body first, however long."""
    wire.send(
        "GET /ws/score HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Content-Length: 10737418240",
    )  # fmt: skip
    assert wire.read().error == "body_too_large"
    assert wire.ended()


# -- clients that stop ------------------------------------------------------------------------------------


def test_slow_body_times_out(short_timeout_service):
    auth = f"Authorization: Bearer {token('slow')}"
    with RawConnection(short_timeout_service.url) as wire:
        began = time.monotonic()
        wire.send("POST /api/score HTTP/1.1", auth, "Content-Length: 11", body=b'{"sc')
        assert wire.ended()
        assert 0.4 < time.monotonic() - began < 5
    assert short_timeout_service.get("/api/v1/players/slow").status == 404
    quietly(short_timeout_service)


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_idle_connection_is_closed(short_timeout_service, sent):
    with RawConnection(short_timeout_service.url) as wire:
        wire.send("GET /healthz HTTP/1.1")
        assert wire.read().status == 200
        wire.socket.sendall(sent)
        began = time.monotonic()
        assert wire.ended()
        assert 0.4 < time.monotonic() - began < 5
    quietly(short_timeout_service)


@pytest.mark.parametrize("abruptly", [False, True])
def test_update_of_a_disconnected_client_is_applied(service, abruptly):
    user = f"u-{uuid4().hex[:8]}"
    auth = f"Authorization: Bearer {token(user)}"
    for _ in range(5):
        with RawConnection(service.url) as wire:
            wire.send("GET /healthz HTTP/1.1")
            assert wire.read().status == 200  # so the connection is the service's before the client goes
            wire.send("POST /api/score HTTP/1.1", auth, "Content-Length: 11", body=b'{"score":5}')
            wire.close(abruptly=abruptly)
    wait_until(lambda: service.get(f"/api/v1/players/{user}").json.get("score") == 25, what="all five writes")
    quietly(service)


@pytest.mark.parametrize("abruptly", [False, True])
def test_client_that_disconnects_during_its_request_is_removed(service, abruptly):
    for sent in (b"", b"POST /api/sc", b"POST /api/score HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n{"):
        with RawConnection(service.url) as wire:
            wire.socket.sendall(sent)
            wire.close(abruptly=abruptly)
    quietly(service)
