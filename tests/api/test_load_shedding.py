"""Load shedding: updates refused before they are read get the same response as other refusals."""

import asyncio
import json
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import pytest

from tests.support.malformed_http import MALFORMED
from tests.support.raw_http import RawConnection, quietly
from tests.support.service import token
from tests.support.wait import wait_until
from tornado_app.api.frontends import FRONTENDS

POST = "POST /api/score HTTP/1.1"
BODY = b'{"score": 5}'
JSON = "Content-Type: application/json"
AUTHORISED = (JSON, f"Authorization: Bearer {token()}")


@pytest.fixture(scope="module")
def saturation_file(tmp_path_factory):
    """The service has no capacity while this file exists."""
    return tmp_path_factory.mktemp("saturated") / "saturated"


@pytest.fixture(scope="module")
def service(run_service, module_database, saturation_file):
    uri, name = module_database
    return run_service(
        "--auto-register", "--allowed-origins", "https://game.test", "--action-proof", "optional",
        uri=uri, database=name, program=("-m", "tests.support.saturated_service"),
        env={"SATURATION_FILE": str(saturation_file)},
    )  # fmt: skip


@pytest.fixture
def saturated_service(service, saturation_file):
    saturation_file.touch()
    yield service
    saturation_file.unlink(missing_ok=True)


@pytest.fixture
def wire(service):
    with RawConnection(service.url) as wire:
        yield wire


def ask(wire, *headers, line=POST, body=BODY):
    """The response to an update of a player who sends nothing else: `shed` counts audit lines, which are limited for
    each player."""
    credentials = f"Authorization: Bearer {token(uuid4().hex)}"
    wire.send(line, f"Content-Length: {len(body)}", JSON, credentials, *headers, body=body)
    return wire.read()


def shed(service):
    """The number of updates refused unread: unlike other refusals they have no audit line."""
    audited = [line for line in service.log.splitlines() if "leaderboard.audit" in line and '"overloaded"' in line]
    return service.metric("leaderboard_score_submissions_total", frontend="A", result="overloaded") - len(audited)


def test_update_at_capacity_is_refused_unread_and_the_next_is_served(saturated_service, saturation_file, wire):
    before = shed(saturated_service)
    for _ in range(3):
        answer = ask(wire)
        assert (answer.status, answer.error, answer.headers["retry-after"]) == (503, "overloaded", "1")
    assert shed(saturated_service) == before + 3
    saturation_file.unlink()
    answer = ask(wire)
    assert answer.status == 201
    saturation_file.touch()
    assert ask(wire).error == "overloaded"


def test_update_of_a_board_at_capacity_is_refused_unread(saturated_service, wire):
    before = shed(saturated_service)
    assert ask(wire, line="POST /boards/main/api/score HTTP/1.1").error == "overloaded"
    assert shed(saturated_service) == before + 1
    assert ask(wire, line="POST /boards/nope/api/score HTTP/1.1").error == "board_not_found"
    assert ask(wire, line="POST /boards/main/boards/main/api/score HTTP/1.1").error == "not_found"


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ("X-Request-Id: mine-1",),
        ("X-Request-Id: not sane!",),
        ("Origin: https://game.test",),
        ("Origin: https://elsewhere.test",),
        ("Origin: https://game.test", "Connection: keep-alive", "Accept: */*"),
    ],
)
def test_shed_update_gets_the_same_response_on_both_paths(saturated_service, wire, headers):
    unread = ask(wire, *headers)
    before = shed(saturated_service)
    read = ask(wire, *headers, line="\r\nPOST /api/score HTTP/1.1")  # a line break, which Tornado reads over
    assert shed(saturated_service) == before
    if not any(header.startswith("X-Request-Id: mine") for header in headers):
        assert unread.headers.pop("x-request-id") != read.headers.pop("x-request-id")
    assert unread == read


def test_other_requests_are_served_at_capacity(saturated_service, wire):
    wire.send("GET /api/top-scores HTTP/1.1")
    assert wire.read().status == 200
    wire.send("OPTIONS /api/score HTTP/1.1", "Origin: https://game.test", "Access-Control-Request-Method: POST")
    assert wire.read().status == 204
    assert ask(wire, line="POST /api/nothing HTTP/1.1").status == 404


@pytest.mark.parametrize("path", [write.path for frontend in FRONTENDS for write in frontend.writes])
def test_update_of_each_frontend_is_shed(saturated_service, wire, path):
    answer = ask(wire, line=f"POST {path} HTTP/1.1")
    assert answer.error == "overloaded"


@pytest.mark.parametrize("sent", [each for each in MALFORMED.values() if each.startswith(b"POST /api/score")])
def test_malformed_request_gets_400_at_capacity(saturated_service, wire, sent):
    head, _, body = sent.partition(b"\r\n\r\n")
    wire.socket.sendall(head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    answer = wire.read()
    assert (answer.status, answer.error, answer.headers["connection"]) == (400, "invalid_request", "close")
    assert wire.ended()


@pytest.mark.parametrize("cut", [5, 60, -1])
def test_update_in_pieces_is_shed(saturated_service, wire, cut):
    head = "\r\n".join([POST, "Host: x", f"Content-Length: {len(BODY)}", *AUTHORISED, "", ""])
    whole = head.encode() + BODY
    wire.socket.sendall(whole[:cut])
    wire.socket.settimeout(0.1)
    with pytest.raises(TimeoutError):
        wire.socket.recv(1)
    wire.socket.settimeout(10)
    wire.socket.sendall(whole[cut:])
    assert wire.read().error == "overloaded"


def test_pipelined_requests_are_answered_in_order(saturated_service, wire):
    """The second request arrives during the first one, and must not be answered before it."""
    whole = f"{POST}\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n".encode()
    reading = b"GET /api/top-scores HTTP/1.1\r\nHost: x\r\nX-Request-Id: r-1\r\n\r\n"
    wire.socket.sendall(reading + b"".join(whole + b"X-Request-Id: w-%d\r\n\r\n" % n + BODY for n in range(3)))
    wire.socket.sendall(reading)
    answers = [wire.read() for _ in range(5)]
    assert [answer.headers["x-request-id"] for answer in answers] == ["r-1", "w-0", "w-1", "w-2", "r-1"]


def test_shed_updates_are_logged_once_a_second_with_their_count(saturated_service, wire):
    def logged():
        ask(wire)
        return saturated_service.log.count('"event":"shedding"') > before

    before = saturated_service.log.count('"event":"shedding"')
    wait_until(logged, what="it is logged")
    lines = [json.loads(line) for line in saturated_service.log.splitlines() if '"event":"shedding"' in line]
    assert all(line["refused"] >= 1 and line["level"] == "warning" for line in lines)
    moments = [datetime.fromisoformat(line["ts"]) for line in lines]
    assert all(after - before > timedelta(seconds=0.9) for before, after in pairwise(moments))
    quietly(saturated_service)


@pytest.mark.long
def test_client_that_does_not_read_is_read_no_further_at_capacity(saturated_service):
    """The service stops reading from a client that does not read its responses."""
    whole = f"{POST}\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    with RawConnection(saturated_service.url, receive_buffer=4096) as wire:
        wire.socket.settimeout(2)
        before = saturated_service.metric("process_resident_memory_bytes")
        with pytest.raises(TimeoutError):
            wire.socket.sendall(whole * 500_000)
        assert saturated_service.metric("process_resident_memory_bytes") - before < 20e6


def test_score_equals_the_accepted_points_when_some_updates_are_shed(run_service, module_database):
    """A service where one update may wait."""
    uri, name = module_database
    service = run_service("--max-pending-writes", "1", "--rate-limit", "1000/1m", uri=uri, database=name)
    user = f"u-{uuid4().hex[:8]}"
    assert service.post("/api/score", {"score": 1}, token=token(user)).status in (200, 201)

    async def storm():
        return await asyncio.gather(*(asyncio.to_thread(one) for _ in range(200)))

    def one():
        return service.post("/api/score", {"score": 1}, token=token(user)).status

    statuses = asyncio.run(storm())
    assert set(statuses) <= {200, 503}
    assert service.get(f"/api/v1/players/{user}").json["score"] == 1 + statuses.count(200)
    quietly(service)
