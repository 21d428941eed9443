"""What is not HTTP, or means two things at once: one answer in the API's shape, and the end of the connection."""

import inspect
import re
import time
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from tornado import http1connection, iostream

from tests.api.wire import Wire, quietly
from tests.support.service import token
from tests.support.wait import wait_until
from tornado_app.http import server


@pytest.fixture
def wire(service):
    with Wire(service.url) as wire:
        yield wire


def get(line="GET /healthz HTTP/1.1", *headers):
    return "\r\n".join([line, "Host: x", *headers, "", ""]).encode("latin-1")


def post(*headers, body=b"{}    "):
    return get("POST /api/score HTTP/1.1", *headers) + body


def chunked(body):
    return post("Transfer-Encoding: chunked", body=body)


INNER = b"0\r\n\r\n" + get()
MALFORMED = {
    "nothing but words": b"hello there\r\n\r\n",
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/3": get("GET /healthz HTTP/3.0"),
    "no such version": get("GET /healthz HTTP/1.x"),
    "lower-case version": get("GET /healthz http/1.1"),
    "space in the target": get("GET /health z HTTP/1.1"),
    "no target": get("GET  HTTP/1.1"),
    "NUL in the target": get("GET /\0 HTTP/1.1"),
    "bad method": get("G(T /healthz HTTP/1.1"),
    "tab instead of space": get("GET\t/healthz\tHTTP/1.1"),
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no colon": post("Bad"),
    "space before the colon": post("Bad : 1"),
    "empty name": post(": 1"),
    "NUL in a name": post("A\0: 1"),
    "obs-fold": post("A: 1", " 2"),
    "NUL in a value": post("A: 1\x002"),
    "bare CR in a value": post("A: 1\r2"),
    "control character in a value": post("A: \x01"),
    "lengths that differ": post("Content-Length: 5", "Content-Length: 6"),
    "lengths in a list": post("Content-Length: 5, 6"),
    "negative length": post("Content-Length: -1"),
    "length with a sign": post("Content-Length: +5"),
    "length with an underscore": post("Content-Length: 1_0"),
    "hexadecimal length": post("Content-Length: 0x5"),
    "superscript length": post("Content-Length: \xb2"),
    "empty length": post("Content-Length:"),
    "length and chunked": post("Content-Length: 6", "Transfer-Encoding: chunked", body=INNER),
    "chunked and length": post("Transfer-Encoding: chunked", "Content-Length: 6", body=INNER),
    "unknown transfer coding": post("Transfer-Encoding: gzip", body=INNER),
    "chunked twice": post("Transfer-Encoding: chunked, chunked", body=INNER),
    "chunked, twice": post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=INNER),
    "xchunked": post("Transfer-Encoding: xchunked", body=INNER),
    "bad chunk size": chunked(b"xyz\r\n\r\n"),
    "negative chunk size": chunked(b"-1\r\n\r\n"),
    "chunk size with an underscore": chunked(b"0_5\r\n\r\n"),
    "long chunk size": chunked(b"0" * 100 + b"\r\n\r\n"),
    "chunk without its end": chunked(b"2\r\n{}XX0\r\n\r\n"),
    "trailer": chunked(b"0\r\nX-A: 1\r\n\r\n"),
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
def test_what_is_not_http_gets_one_400_and_the_end(service, wire, sent):
    wire.socket.sendall(sent)
    answer = wire.read()
    assert (answer.status, answer.error, answer.headers["connection"]) == (400, "invalid_request", "close")
    assert wire.ended()
    quietly(service)


def test_a_refusal_arrives_although_the_client_goes_on_sending(wire):
    wire.socket.sendall(b"POST /api/score HTTP/1.1\r\nBad\r\n\r\n")
    for _ in range(100):
        wire.socket.sendall(b"x" * 65536)
    assert wire.read().error == "invalid_request"
    assert wire.ended()


def test_a_refused_client_is_held_on_to_for_seconds_only(service):
    """It may still be sending, and would lose its answer to a reset; but it may also just stay."""
    descriptors = Path(f"/proc/{service.process.pid}/fd")
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(service.url)) for _ in range(20)]
        for wire in wires:
            wire.send("GET /healthz HTTP/1.1")
            assert wire.read().status == 200
        before = len(list(descriptors.iterdir()))
        for wire in wires:
            wire.socket.sendall(b"POST /api/score HTTP/1.1\r\nBad\r\n\r\n")
            assert wire.read().status == 400
        began = time.monotonic()
        wait_until(lambda: len(list(descriptors.iterdir())) < before - 15, what="they are let go of")
        assert time.monotonic() - began > 1


def test_a_smuggled_request_is_never_answered(service, wire):
    """What follows an ambiguous request is thrown away: here it would have been a second, accepted one."""
    user = f"u-{uuid4().hex[:8]}"
    inner = f"POST /api/score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(user)}\r\nContent-Length: 11\r\n\r\n"
    wire.send(
        "POST /api/score HTTP/1.1", "Content-Length: 4", "Transfer-Encoding: chunked",
        body=b"0\r\n\r\n" + inner.encode() + b'{"score":5}',
    )  # fmt: skip
    assert wire.read().status == 400
    assert wire.ended()
    assert service.get(f"/api/v1/players/{user}").status == 404


@pytest.mark.parametrize("hosts", [[], ["Host: a", "Host: b"]])
def test_one_host_is_needed(wire, hosts):
    wire.send("GET /healthz HTTP/1.1", *hosts, host=False)
    answer = wire.read()
    assert (answer.status, answer.error) == (400, "invalid_request")


def test_http_1_0_needs_none(wire):
    wire.send("GET /healthz HTTP/1.0", host=False)
    assert wire.read().status == 200
    assert wire.ended()


@pytest.mark.parametrize("secret", [f"Authorization: Bearer {token('alice')}\0", f"A: ?token={token('bob')}\0"])
def test_no_token_of_a_malformed_request_is_logged(service, wire, secret):
    wire.send("GET /healthz HTTP/1.1", secret)
    assert wire.read().status == 400
    for part in re.split(r"[. ]", secret.strip("\0"))[-2:]:
        assert part not in service.log


def test_tornado_is_as_server_py_expects_it():
    """The bare refusal, and how headers past the limit end the stream; the rows above show that both are caught."""
    assert repr(server._BARE_400) in inspect.getsource(http1connection).replace('b"', "b'").replace('\\n")', "\\n')")
    source = inspect.getsource(iostream.BaseIOStream.read_until_regex)
    assert "except UnsatisfiableReadError as e:" in source
    assert "self.close(exc_info=e)" in source
    stream = iostream.BaseIOStream.__new__(iostream.BaseIOStream)
    stream._read_max_bytes = server.HARD_MAX_HEADERS
    with pytest.raises(iostream.UnsatisfiableReadError, match=server._PAST_HEADERS):
        stream._check_max_bytes(b"", server.HARD_MAX_HEADERS + 1)
