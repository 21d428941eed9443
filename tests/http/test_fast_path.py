"""The fast path: the same responses as by Tornado's parser, in order, whatever the client does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from unittest.mock import Mock, call
from uuid import uuid4

import pytest
from tornado.httputil import HTTPHeaders, RequestStartLine

from tests.support.raw_http import FALLBACK, RawConnection, quietly
from tests.support.service import token
from tests.support.wait import wait_until
from tornado_app.http import fast_path
from tornado_app.http import stream as module
from tornado_app.http.cors import Cors
from tornado_app.http.dispatcher import Dispatcher
from tornado_app.http.messages import Router
from tornado_app.http.stream import HttpStream, StreamServices
from tornado_app.http.tornado_delegate import Delegate
from tornado_app.observability.logs import request_id
from tornado_app.observability.metrics import Metrics

AUTH = f"Authorization: Bearer {token('express')}"
JSON = "Content-Type: application/json"


@pytest.fixture
def wire(service):
    with RawConnection(service.url) as wire:
        yield wire


def request(line, *headers, body=b"", host="Host: x"):
    length = [f"Content-Length: {len(body)}"] if body else []
    lines = [f"{line} HTTP/1.1", host, "X-Request-Id: r-1", *headers, *length, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def update(*headers, body=b'{"score": 1}', line="POST /api/score"):
    return request(line, AUTH, JSON, *headers, body=body)


REQUESTS = {
    "a read": request("GET /api/top-scores"),
    "the personal board": request("GET /api/leaderboard", AUTH),
    "a bad token": request("GET /api/leaderboard", "Authorization: Bearer x.y.z"),
    "a player": request("GET /api/v1/players/express"),
    "nobody": request("GET /api/v1/players/nobody"),
    "a page of the board": request("GET /api/v1/leaderboard?limit=3&after="),
    "an unknown argument": request("GET /api/v1/leaderboard?limit=3&period=weekly"),
    "an argument twice": request("GET /api/v1/leaderboard?limit=3&limit=4"),
    "an argument where there are none": request("GET /api/top-scores?_=1700000000"),
    "an argument of an update": update(line="POST /api/score?dry_run=true"),
    "an integer with a fraction": request("GET /api/v1/leaderboard?limit=3.0"),
    "a page's cache-buster": request("GET /?v=3"),
    "a BOM": update(body=b"\xef\xbb\xbf{"),
    "a query": request("GET /api/v1/leaderboard?limit=none"),
    "an odd path": request("GET /api/%00/..//x?y=%zz"),
    "two slashes": request("GET //api/top-scores"),
    "a version": request("GET /api/leaderboard", "If-Board-Version: 1"),
    "a player's version": request("GET /api/v1/players/express", "If-Board-Version: 1"),
    "no version": request("GET /api/top-scores", "If-Board-Version: x"),
    "a page": request("GET /"),
    "a probe": request("GET /healthz", "Connection: Keep-Alive"),
    "no such path": request("GET /nothing"),
    "no such method": request("PUT /api/score", body=b"{}"),
    "a socket's path": request("GET /ws/score"),
    "no token": request("POST /api/score", JSON, body=b'{"score": 1}'),
    "another scheme": request("POST /api/score", "Authorization: Basic eDp5", body=b'{"score": 1}'),
    "no body": request("POST /api/score", AUTH, JSON),
    "bad JSON": update(body=b'{"score": '),
    "bad points": update(body=b'{"score": 0}'),
    "too many points": update(body=b'{"score": 1001}'),
    "a bad key": update("Idempotency-Key: a b"),
    "another media type": request("POST /api/score", AUTH, "Content-Type: text/plain", body=b'{"score": 1}'),
    "an encoding": update("Content-Encoding: gzip"),
    "somebody else": update(body=b'{"score": 1, "user_id": "other"}'),
    "a profile": request("PUT /api/v1/players/express", AUTH, JSON, body='{"username": "Zoë"}'.encode()),
    "an unknown player": update(line="PATCH /api/score", body=b'{"score": 1, "user_id": "other"}'),
    "a page of another site": request("GET /api/top-scores", "Origin: https://elsewhere.test"),
    "a proxy": request("GET /api/top-scores", "X-Forwarded-For: 10.1.1.1"),
    "Latin-1": request("GET /api/top-scores", "X-Name: Zo\xeb"),
}


@pytest.fixture(scope="module", autouse=True)
def player(service):
    """Wait until there is one, and nothing changes."""
    with RawConnection(service.url) as wire:
        wire.socket.sendall(REQUESTS["a profile"])
        assert wire.read().status == 201
    wait_until(lambda: service.get("/api/top-scores").json["top_scores"], what="the board shows it")


@pytest.mark.parametrize("request_bytes", REQUESTS.values(), ids=REQUESTS)
def test_response_is_the_same_on_both_paths(service, wire, request_bytes):
    wire.socket.sendall(request_bytes)
    served = wire.read()
    wire.socket.sendall(FALLBACK + request_bytes)
    assert timeless(wire.read()) == timeless(served)
    quietly(service)


def timeless(answer):
    """The version of what was read from the database is the time of the read."""
    present = {"board-version": "some"} if "board-version" in answer.headers else {}
    return answer._replace(headers=answer.headers | present)


def test_conditional_request_gets_304_on_both_paths(wire):
    wire.socket.sendall(request("GET /api/top-scores"))
    request_bytes = request("GET /api/top-scores", f"If-None-Match: {wire.read().headers['etag']}")
    wire.socket.sendall(request_bytes + FALLBACK + request_bytes)
    answers = [wire.read() for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0].status == 304


def test_update_and_its_replay_are_the_same_on_both_paths(service, wire):
    """Each counts once, whichever path the second one takes."""
    user = f"u-{uuid4().hex[:8]}"
    for first, second in ((b"", FALLBACK), (FALLBACK, b"")):
        headers = (f"Authorization: Bearer {token(user)}", JSON, f"Idempotency-Key: {uuid4().hex}")
        request_bytes = request("POST /api/score", *headers, body=b'{"score": 5}')
        wire.socket.sendall(first + request_bytes)
        answer = wire.read()
        wire.socket.sendall(second + request_bytes)
        again = wire.read()
        assert again.headers["idempotent-replay"] == "true"
        assert json.loads(again.body) == json.loads(answer.body)
    assert service.get(f"/api/v1/players/{user}").json["score"] == 10


def test_simple_requests_bypass_tornado(wire):
    """Tornado writes header names in its own case, which identifies the path."""
    by_tornado = []
    for before in (b"", FALLBACK):
        wire.socket.sendall(before + update(body=b"{"))
        by_tornado.append(b"RateLimit-Policy: " in wire.socket.recv(4096))
    assert by_tornado == [True, False]


@pytest.mark.parametrize("before", [b"", FALLBACK])
def test_pipelined_requests_are_answered_in_order(wire, before):
    """Updates take their time; what comes meanwhile has to wait, however it is read."""
    reads = b"".join(request("GET /healthz").replace(b"r-1", b"r-%d" % n) for n in range(2, 40))
    wire.socket.sendall(before + update())
    wire.socket.sendall(reads)
    assert [wire.read().headers["x-request-id"] for _ in range(39)] == [f"r-{n}" for n in range(1, 40)]
    wire.socket.sendall(request("GET /healthz"))
    assert wire.read().status == 200


def test_pipelined_requests_beyond_the_buffer_stay_in_the_kernel(service, wire):
    user = f"u-{uuid4().hex[:8]}"
    auth = f"Authorization: Bearer {token(user)}"
    one = request("POST /api/score", auth, JSON, "X-Pad: " + "x" * 4000, body=b'{"score": 1}')
    wire.socket.sendall(one * 100)
    statuses = [wire.read().status for _ in range(100)]
    assert statuses == [201] + [200] * 9 + [429] * 90
    quietly(service)


def test_update_of_a_disconnected_client_is_applied(service):
    user = f"u-{uuid4().hex[:8]}"
    request_bytes = request("POST /api/score", f"Authorization: Bearer {token(user)}", JSON, body=b'{"score": 1}')
    for abruptly in (False, True):
        with RawConnection(service.url) as wire:
            wire.socket.sendall(request("GET /healthz"))
            assert wire.read().status == 200
            wire.socket.sendall(request_bytes + request_bytes)
            wire.close(abruptly=abruptly)
    wait_until(lambda: service.get(f"/api/v1/players/{user}").json.get("score", 0) >= 2, what="the first of each two")
    quietly(service)


@pytest.mark.long
def test_client_that_does_not_read_is_read_no_further(service):
    """The responses arrive in the end, in order."""
    request_bytes = request("GET /docs")
    with RawConnection(service.url, receive_buffer=4096) as wire:
        wire.socket.settimeout(1)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 100_000 * len(request_bytes):
                sent += wire.socket.send(request_bytes)
        assert sent < 100_000 * len(request_bytes)
        before = service.metric("process_resident_memory_bytes")
        wire.socket.settimeout(10)
        answers = [wire.read() for _ in range(sent // len(request_bytes) // 2)]
        assert {answer.status for answer in answers} == {200}
        assert service.metric("process_resident_memory_bytes") - before < 20e6
    quietly(service)


def test_websocket_handshake_after_simple_requests_on_one_connection(wire):
    wire.socket.sendall(request("GET /healthz"))
    assert wire.read().status == 200
    wire.send(
        "GET /ws/score HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )  # fmt: skip
    assert wire.file.readline().startswith(b"HTTP/1.1 101 ")


# -- the parts ----------------------------------------------------------------------------------------


@pytest.fixture
async def stream():
    """A stream that waits for a request; `client` is the other end, and `interceptor` and `idle_timeouts` are mocks."""
    ours, theirs = socket.socketpair()
    idle_timeouts, interceptor = Mock(), Mock()
    stream = HttpStream(ours, "192.0.2.1", StreamServices(idle_timeouts, Mock(), Mock(), interceptor))
    stream.on_idle()
    idle_timeouts.reset_mock()
    stream.client, stream.interceptor, stream.idle_timeouts = theirs, interceptor, idle_timeouts
    with theirs:
        yield stream
        stream.close()


async def test_only_the_beginning_of_a_request_is_intercepted(stream, monkeypatch):
    """Bytes that arrive while a response is written may be a body that looks like a request."""
    for writing in (True, False):
        monkeypatch.setattr(stream, "writing", lambda writing=writing: writing)
        stream.client.sendall(b"POST /api/score HTTP/1.1\r\n")
        assert stream.read_from_fd(bytearray(100)) == 26
    stream.interceptor.try_handle.assert_not_called()


async def test_connection_with_a_response_in_transit_has_no_idle_timeout(stream, monkeypatch):
    sending = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(module, "DirectWriter", lambda stream: Mock(send=lambda data: sending))
    stream.respond(b"much")
    assert stream.idle_timeouts.method_calls == [call.untrack(stream)]
    sending.set_result(None)
    await asyncio.sleep(0)
    assert stream.idle_timeouts.method_calls == [call.untrack(stream), call.track(stream)]


async def test_response_that_cannot_be_encoded_closes_the_connection(stream, monkeypatch, caplog):
    def broken(status, headers):
        raise ValueError

    monkeypatch.setattr(fast_path, "encode_head", broken)
    dispatcher = Dispatcher(Router([]), metrics=Metrics(), cors=Cors())
    stream.interceptor.try_handle = fast_path.FastPath(dispatcher, Mock(update=lambda data: None)).try_handle
    stream.client.sendall(request("GET /"))
    assert stream.read_from_fd(bytearray(1000)) is None
    assert stream.closed()
    assert "response could not be encoded" in caplog.text
    assert request_id.get() is None  # the connection's context has nothing of the request


def test_response_that_tornado_cannot_encode_closes_the_connection(caplog):
    connection = Mock(context=Mock(remote_ip="192.0.2.1"))
    connection.write_headers.side_effect = UnicodeEncodeError("latin-1", "✓", 0, 1, "ordinal not in range")
    dispatcher = Dispatcher(Router([]), metrics=Metrics(), cors=Cors())
    reading = Delegate(dispatcher).start_request(None, connection)
    reading.headers_received(RequestStartLine("GET", "/", "HTTP/1.1"), HTTPHeaders({"Host": "x"}))
    reading.finish()
    connection.close.assert_called_once_with()
    connection.finish.assert_not_called()
    assert "response could not be encoded" in caplog.text


def test_incomplete_updates_do_not_count_towards_the_limit(run_service, module_database):
    uri, name = module_database
    small = run_service("--max-pending-writes", "20", uri=uri, database=name)
    with contextlib.ExitStack() as stack:
        for _ in range(30):
            half = stack.enter_context(RawConnection(small.url))
            half.socket.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert half.read().status == 200
            half.socket.sendall(b"POST /api/score HTTP/1.1\r\n")
        wait_until(lambda: small.get("/healthz").status == 200, what="all were looked at")
        assert small.post("/api/score", {"score": 1}, token=token("whole")).status == 201
