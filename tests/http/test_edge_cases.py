"""HTTP where it is well-formed and rare, byte by byte over sockets. Source: RFC 9110, RFC 9112."""

import json
import time
from uuid import uuid4

import pytest

from tests.support.raw_http import RawConnection, quietly
from tests.support.service import token


@pytest.fixture
def wire(service):
    with RawConnection(service.url) as wire:
        yield wire


def test_pipelined_requests_are_answered_in_order(service, wire):
    user = f"u-{uuid4().hex[:8]}"
    auth = f"Authorization: Bearer {token(user)}"
    for n in range(1, 6):
        wire.send(
            "POST /api/score HTTP/1.1", auth, f"X-Request-Id: write-{n}", "Content-Length: 11", body=b'{"score":5}'
        )
        wire.send("GET /no/such/path HTTP/1.1", f"X-Request-Id: read-{n}")
    for n in range(1, 6):
        write, read = wire.read(), wire.read()
        assert (write.headers["x-request-id"], json.loads(write.body)["score"]) == (f"write-{n}", 5 * n)
        assert (read.headers["x-request-id"], read.error) == (f"read-{n}", "not_found")


def test_connection_stays_open_after_a_refusal(wire):
    for line in ("GET /nowhere HTTP/1.1", "DELETE /api/score HTTP/1.1", "POST /api/score HTTP/1.1"):
        wire.send(line, "Content-Length: 2", body=b"[]")
        assert wire.read().status in (401, 404, 405)
    wire.send("GET /healthz HTTP/1.1")
    assert wire.read().status == 200


@pytest.mark.parametrize(
    ("path", "status"), [("/", 200), ("/api/top-scores", 200), ("/api/score", 405), ("/no", 404), ("/ws/score", 426)]
)
def test_head_has_the_headers_and_no_body(wire, path, status):
    wire.send(f"HEAD {path} HTTP/1.1")
    answer = wire.read(head=True)
    assert answer.status == status
    assert int(answer.headers["content-length"]) > 0
    wire.send("GET /healthz HTTP/1.1")  # a body would be read as this one's answer
    assert wire.read().status == 200


def test_options_lists_the_methods(wire):
    wire.send("OPTIONS /api/score HTTP/1.1")
    answer = wire.read()
    assert (answer.status, answer.headers["allow"], answer.body) == (204, "OPTIONS, PATCH, POST", b"")
    assert "content-length" not in answer.headers
    wire.send("OPTIONS /nowhere HTTP/1.1")
    assert wire.read().error == "not_found"


def test_absolute_request_target_is_accepted(service, wire):
    wire.send(f"GET {service.url}/api/top-scores HTTP/1.1")
    assert wire.read().status == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Idempotency-Key", "k-1"), ("Action-Proof", "a.b.c"), ("Captcha-Token", "c-1"),
        ("Authorization", f"Bearer {token('twice')}"), ("Content-Type", "application/json"),
        ("Content-Length", "11"), ("If-Board-Version", "1"), ("Origin", "https://game.test"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("other", ["same", "different", "other case"])
def test_repeated_single_value_header_is_refused(service, wire, name, value, other):
    user = f"u-{uuid4().hex[:8]}"
    headers = {"Authorization": f"Bearer {token(user)}", "Content-Length": "11", name: value}
    again = {"same": f"{name}: {value}", "different": f"{name}: 7", "other case": f"{name.upper()}: {value}"}[other]
    wire.send(
        "POST /api/score HTTP/1.1", *[f"{name}: {value}" for name, value in headers.items()], again,
        body=b'{"score":5}',
    )  # fmt: skip
    answer = wire.read()
    assert (answer.status, answer.error) == (400, "invalid_request")
    if (name, other) != ("Content-Length", "different"):  # Tornado refuses that itself: it cannot find the body's end
        assert name in json.loads(answer.body)["message"]
    assert service.get(f"/api/v1/players/{user}").status == 404


def test_expect_100_continue_gets_an_interim_response(service, wire):
    auth = f"Authorization: Bearer {token(f'u-{uuid4().hex[:8]}')}"
    wire.send("POST /api/score HTTP/1.1", auth, "Expect: 100-continue", "Content-Length: 11")
    assert wire.read().status == 100
    wire.socket.sendall(b'{"score":5}')
    assert wire.read().status == 201


def test_oversized_expect_request_is_refused_without_100(wire):
    wire.send("POST /api/score HTTP/1.1", "Expect: 100-continue", "Content-Length: 20000")
    answer = wire.read()
    assert (answer.status, answer.error) == (413, "body_too_large")
    assert wire.ended()


@pytest.mark.parametrize("path", ["/ws/score", "/ws/scoreboard", "/ws/leaderboard"])
def test_socket_path_without_a_handshake_names_its_purpose(wire, path):
    wire.send(f"GET {path} HTTP/1.1")
    answer = wire.read()
    assert (answer.status, answer.error) == (426, "upgrade_required")
    assert (answer.headers["upgrade"], answer.headers["connection"]) == ("websocket", "Upgrade")
    wire.send(f"POST {path} HTTP/1.1", "Content-Length: 0")
    assert wire.read().error == "method_not_allowed"


HANDSHAKE = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "change", "error"),
    [
        ("/ws/score", {"Connection": "keep-alive"}, "upgrade_required"),
        ("/ws/score", {"Sec-WebSocket-Version": "8"}, "upgrade_required"),
        ("/ws/score", {"Sec-WebSocket-Version": ""}, "upgrade_required"),
        ("/ws/score", {"Sec-WebSocket-Key": ""}, "upgrade_required"),
        ("/ws/nowhere", {}, "not_found"),
        ("/api/top-scores", {}, "not_found"),
        ("/", {}, "not_found"),
        ("/ws/score", {"X-Long": "x" * 19000}, "headers_too_large"),
    ],
)
def test_invalid_handshake_gets_a_json_error(service, wire, path, change, error):
    wire.send(f"GET {path} HTTP/1.1", *[f"{name}: {value}" for name, value in (HANDSHAKE | change).items()])
    answer = wire.read()
    assert answer.error == error
    assert "server" not in answer.headers
    quietly(service)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_handshake_with_another_method_is_refused(wire, method):
    wire.send(f"{method} /ws/score HTTP/1.1", *[f"{name}: {value}" for name, value in HANDSHAKE.items()])
    answer = wire.read(head=method == "HEAD")
    assert answer.status == {"OPTIONS": 204, "HEAD": 426}.get(method, 405)


@pytest.mark.parametrize(
    "path",
    [
        "/static/../config.py", "/static/..%2fconfig.py", "/static/%2e%2e/config.py", "/static/..\\config.py",
        "/static//etc/passwd", "/static/....//config.py", "/static/__init__.py", "/static/", "/static",
        "/static/index.html%00.js", "/../../etc/passwd", "/static/%252e%252e/config.py", "/%2e%2e/%2e%2e/etc/passwd",
        "file:///etc/passwd",
    ],
)  # fmt: skip
def test_path_outside_the_pages_is_not_found(wire, path):
    wire.send(f"GET {path} HTTP/1.1")
    answer = wire.read()
    assert (answer.status, answer.error) == (404, "not_found")


def test_request_duration_excludes_the_idle_time_before_it(service, wire):
    idle = 1.0
    spent = "leaderboard_http_request_duration_seconds_sum"
    before = service.metric(spent, route="/api/top-scores")
    for pause in (0, idle):
        time.sleep(pause)
        wire.send("GET /api/top-scores HTTP/1.1")
        assert wire.read().status == 200
    assert service.metric(spent, route="/api/top-scores") - before < idle
