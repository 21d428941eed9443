"""Requests that are served from their bytes get what Tornado's way gives them, one after another, whatever comes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from unittest.mock import Mock
from uuid import uuid4

import pytest
from tornado.httputil import HTTPHeaders, RequestStartLine
from tornado.iostream import IOStream

from tests.api.wire import Wire, quietly
from tests.support.service import token
from tests.support.wait import wait_until
from tornado_app.http import fast_connection as visits
from tornado_app.http import fast_path
from tornado_app.http.cors import Cors
from tornado_app.http.dispatcher import Dispatcher
from tornado_app.http.fast_connection import FastPathConnection
from tornado_app.http.messages import Router
from tornado_app.http.tornado_delegate import Delegate
from tornado_app.observability.logs import request_id
from tornado_app.observability.metrics import Metrics

ODDLY = b"\r\n"
"""A line break before a request, which Tornado reads over and `plain` does not: so it goes Tornado's way."""

AUTH = f"Authorization: Bearer {token('express')}"
JSON = "Content-Type: application/json"


@pytest.fixture
def wire(service):
    with Wire(service.url) as wire:
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
    """There is one, and nothing moves any more."""
    with Wire(service.url) as wire:
        wire.socket.sendall(REQUESTS["a profile"])
        assert wire.read().status == 201
    wait_until(lambda: service.get("/api/top-scores").json["top_scores"], what="the board shows it")


@pytest.mark.parametrize("asked", REQUESTS.values(), ids=REQUESTS)
def test_it_is_the_answer_of_tornados_way(service, wire, asked):
    wire.socket.sendall(asked)
    served = wire.read()
    wire.socket.sendall(ODDLY + asked)
    assert timeless(wire.read()) == timeless(served)
    quietly(service)


def timeless(answer):
    """The version of what was read from the database is the time of the read."""
    present = {"board-version": "some"} if "board-version" in answer.headers else {}
    return answer._replace(headers=answer.headers | present)


def test_what_is_known_has_no_body(wire):
    wire.socket.sendall(request("GET /api/top-scores"))
    asked = request("GET /api/top-scores", f"If-None-Match: {wire.read().headers['etag']}")
    wire.socket.sendall(asked + ODDLY + asked)
    answers = [wire.read() for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0].status == 304


def test_an_update_and_its_replay(service, wire):
    """Each counts once, whichever way it comes the second time."""
    user = f"u-{uuid4().hex[:8]}"
    for first, second in ((b"", ODDLY), (ODDLY, b"")):
        headers = (f"Authorization: Bearer {token(user)}", JSON, f"Idempotency-Key: {uuid4().hex}")
        asked = request("POST /api/score", *headers, body=b'{"score": 5}')
        wire.socket.sendall(first + asked)
        answer = wire.read()
        wire.socket.sendall(second + asked)
        again = wire.read()
        assert again.headers["idempotent-replay"] == "true"
        assert json.loads(again.body) == json.loads(answer.body)
    assert service.get(f"/api/v1/players/{user}").json["score"] == 10


def test_plain_requests_do_not_go_tornados_way(wire):
    """Tornado writes headers' names in a case of its own, by which it can be told."""
    told = []
    for before in (b"", ODDLY):
        wire.socket.sendall(before + update(body=b"{"))
        told.append(b"RateLimit-Policy: " in wire.socket.recv(4096))
    assert told == [True, False]


@pytest.mark.parametrize("before", [b"", ODDLY])
def test_requests_in_a_row_are_answered_in_their_order(wire, before):
    """Updates take their time; what comes meanwhile has to wait, however it is read."""
    reads = b"".join(request("GET /healthz").replace(b"r-1", b"r-%d" % n) for n in range(2, 40))
    wire.socket.sendall(before + update())
    wire.socket.sendall(reads)
    assert [wire.read().headers["x-request-id"] for _ in range(39)] == [f"r-{n}" for n in range(1, 40)]
    wire.socket.sendall(request("GET /healthz"))
    assert wire.read().status == 200


def test_more_in_a_row_than_is_kept_waits_in_the_kernel(service, wire):
    user = f"u-{uuid4().hex[:8]}"
    auth = f"Authorization: Bearer {token(user)}"
    one = request("POST /api/score", auth, JSON, "X-Pad: " + "x" * 4000, body=b'{"score": 1}')
    wire.socket.sendall(one * 100)
    statuses = [wire.read().status for _ in range(100)]
    assert statuses == [201] + [200] * 9 + [429] * 90
    quietly(service)


def test_a_client_that_leaves_while_it_waits_does_not_lose_its_write(service):
    user = f"u-{uuid4().hex[:8]}"
    asked = request("POST /api/score", f"Authorization: Bearer {token(user)}", JSON, body=b'{"score": 1}')
    for abruptly in (False, True):
        with Wire(service.url) as wire:
            wire.socket.sendall(request("GET /healthz"))
            assert wire.read().status == 200
            wire.socket.sendall(asked + asked)
            wire.close(abruptly=abruptly)
    wait_until(lambda: service.get(f"/api/v1/players/{user}").json.get("score", 0) >= 2, what="the first of each two")
    quietly(service)


def test_who_does_not_read_its_answers_is_read_no_further(service):
    """And what was answered arrives in the end, in order."""
    asked = request("GET /docs")
    with Wire(service.url, receive_buffer=4096) as wire:
        wire.socket.settimeout(1)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 100_000 * len(asked):
                sent += wire.socket.send(asked)
        assert sent < 100_000 * len(asked)
        before = service.metric("process_resident_memory_bytes")
        wire.socket.settimeout(10)
        answers = [wire.read() for _ in range(sent // len(asked) // 2)]
        assert {answer.status for answer in answers} == {200}
        assert service.metric("process_resident_memory_bytes") - before < 20e6
    quietly(service)


def test_a_websocket_after_plain_requests_on_one_connection(wire):
    wire.socket.sendall(request("GET /healthz"))
    assert wire.read().status == 200
    wire.send(
        "GET /ws/score HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )  # fmt: skip
    assert wire.file.readline().startswith(b"HTTP/1.1 101 ")


def test_no_header_can_hold_a_line_break():
    for value in ("a\r\nb", "a\nb", "a\rb"):
        with pytest.raises(ValueError, match="line break"):
            fast_path.message(200, [("A", value)])
    assert fast_path.message(204, [("A", "b")]) == b"HTTP/1.1 204 No Content\r\nA: b\r\n\r\n"


# -- the parts ----------------------------------------------------------------------------------------


def connection(chunks, interceptor):
    stream = Mock(_read_buffer_size=0)
    stream.closed.return_value = stream.writing.return_value = False
    stream.read_from_fd = lambda buf: _into(buf, chunks.pop(0)) if chunks else None
    found = FastPathConnection(stream, "192.0.2.1", interceptor, Mock())
    found.on_idle()
    return found


def _into(buf, chunk):
    buf[: len(chunk)] = chunk
    return len(chunk)


def test_only_the_beginning_of_a_request_is_looked_at():
    """Not what follows one that began while an answer was on its way out: it may be a body that looks like one."""
    asked, chunks = [], [b"POST /api/score HTTP/1.1\r\n", b"POST /api/score HTTP/1.1\r\n"]
    found = connection(chunks, Mock(try_handle=lambda *all: bool(asked.append(all))))
    for writing in (True, False):
        found._stream.writing.return_value = writing
        found.read(bytearray(100))
    assert (chunks, asked) == ([], [])


async def test_who_is_still_taking_an_answer_is_not_idle(monkeypatch):
    found = connection([], Mock())
    calls = found._idle_timeouts.method_calls
    sending = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(visits, "DirectWriter", lambda stream: Mock(send=lambda data: sending))
    found.answer(b"much")
    assert [name for name, *_ in calls] == ["untrack"]
    sending.set_result(None)
    await asyncio.sleep(0)
    assert [name for name, *_ in calls] == ["untrack", "track"]


def test_an_answer_that_cannot_be_written_ends_the_connection(monkeypatch, caplog):
    def broken(status, headers):
        raise ValueError

    monkeypatch.setattr(fast_path, "message", broken)
    dispatcher = Dispatcher(Router([]), metrics=Metrics(), cors=Cors())
    interceptor = fast_path.FastPath(dispatcher, Mock(update=lambda data: None))
    found = connection([request("GET /")], interceptor)
    assert found.read(bytearray(1000)) is None
    found._stream.close.assert_called_once_with()
    assert "could not be written" in caplog.text
    assert request_id.get() is None  # nothing of the request is left where the connection is read


def test_an_answer_that_tornado_cannot_write_ends_the_connection(caplog):
    connection = Mock(context=Mock(remote_ip="192.0.2.1"))
    connection.write_headers.side_effect = UnicodeEncodeError("latin-1", "✓", 0, 1, "ordinal not in range")
    dispatcher = Dispatcher(Router([]), metrics=Metrics(), cors=Cors())
    reading = Delegate(dispatcher).start_request(None, connection)
    reading.headers_received(RequestStartLine("GET", "/", "HTTP/1.1"), HTTPHeaders({"Host": "x"}))
    reading.finish()
    connection.close.assert_called_once_with()
    connection.finish.assert_not_called()
    assert "could not be written" in caplog.text


def test_who_sends_half_of_an_update_takes_nobodys_place(run_service, module_database):
    uri, name = module_database
    small = run_service("--max-pending-writes", "20", uri=uri, database=name)
    with contextlib.ExitStack() as stack:
        for _ in range(30):
            half = stack.enter_context(Wire(small.url))
            half.socket.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert half.read().status == 200
            half.socket.sendall(b"POST /api/score HTTP/1.1\r\n")
        wait_until(lambda: small.get("/healthz").status == 200, what="all were looked at")
        assert small.post("/api/score", {"score": 1}, token=token("whole")).status == 201


def test_tornado_does_on_a_readable_socket_what_visit_py_calls():
    """`_handle_events` with READ reads through `read_from_fd`, also where the kernel has nothing."""
    ours, theirs = socket.socketpair()

    async def main():
        stream = IOStream(ours)
        calls = []
        stream.read_from_fd = lambda buf: calls.append(len(buf))
        reading = stream.read_until(b"x")
        calls.clear()
        stream._handle_events(stream.fileno(), stream.io_loop.READ)
        assert len(calls) == 1
        stream.close()
        with pytest.raises(Exception, match="closed"):
            await reading

    asyncio.run(main())
    theirs.close()
