"""A malformed or ambiguous request gets one error response, and the connection ends."""

import re
import time
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.malformed_http import MALFORMED
from tests.support.raw_http import RawConnection, quietly
from tests.support.service import token
from tests.support.wait import wait_until


@pytest.fixture
def wire(service):
    with RawConnection(service.url) as wire:
        yield wire


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
def test_malformed_request_gets_one_400_and_a_closed_connection(service, wire, sent):
    wire.socket.sendall(sent)
    answer = wire.read()
    assert (answer.status, answer.error, answer.headers["connection"]) == (400, "invalid_request", "close")
    assert wire.ended()
    quietly(service)


def test_refusal_arrives_while_the_client_still_sends(wire):
    wire.socket.sendall(b"POST /api/score HTTP/1.1\r\nBad\r\n\r\n")
    for _ in range(100):
        wire.socket.sendall(b"x" * 65536)
    assert wire.read().error == "invalid_request"
    assert wire.ended()


def test_refused_connection_lingers_for_seconds_only(service):
    """A client that still sends would lose the response by a reset; one that stays connected is closed later."""
    descriptors = Path(f"/proc/{service.process.pid}/fd")
    with ExitStack() as stack:
        wires = [stack.enter_context(RawConnection(service.url)) for _ in range(20)]
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


def test_smuggled_request_is_not_answered(service, wire):
    """Bytes behind an ambiguous request are dropped: here they would be a second, accepted request."""
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
def test_request_without_exactly_one_host_is_refused(wire, hosts):
    wire.send("GET /healthz HTTP/1.1", *hosts, host=False)
    answer = wire.read()
    assert (answer.status, answer.error) == (400, "invalid_request")


def test_http_1_0_request_needs_no_host(wire):
    wire.send("GET /healthz HTTP/1.0", host=False)
    assert wire.read().status == 200
    assert wire.ended()


@pytest.mark.parametrize("secret", [f"Authorization: Bearer {token('alice')}\0", f"A: ?token={token('bob')}\0"])
def test_token_in_a_malformed_request_is_not_logged(service, wire, secret):
    wire.send("GET /healthz HTTP/1.1", secret)
    assert wire.read().status == 400
    for part in re.split(r"[. ]", secret.strip("\0"))[-2:]:
        assert part not in service.log
