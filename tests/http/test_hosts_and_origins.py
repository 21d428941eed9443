"""Which pages may call and which host names are served: over REST, pages and sockets, on both HTTP paths."""

import json

import pytest

from tests.support.raw_http import FALLBACK, RawConnection
from tests.support.service import token

ORIGINS = {
    "capacitor://localhost": ["capacitor://localhost"],
    "chrome-extension://abcdefghijklmnop": ["chrome-extension://abcdefghijklmnop"],
    "null": ["null"],
    "https://game.example:443": ["https://game.example", "https://GAME.example:443"],
    "https://*.studio.example": ["https://kart.studio.example"],
}
STRANGERS = [
    "http://localhost", "capacitor://localhost.evil.com", "chrome-extension://other", "http://game.example",
    "https://game.example:8443", "https://studio.example", "https://a.b.studio.example",
    "https://evil.com/.studio.example", "https://studio.example.evil.com", "file://",
]  # fmt: skip
FAST_PATH = b""

both_ways = pytest.mark.parametrize("before", [FAST_PATH, FALLBACK], ids=["fast path", "Tornado"])


@pytest.fixture(scope="module")
def strict(run_service, module_database):
    uri, name = module_database
    allowed = ("--allowed-hosts", "play.example,*.games.example,::1")
    return run_service("--allowed-origins", ",".join(ORIGINS), *allowed, uri=uri, database=name)


@pytest.fixture
def wire(strict):
    with RawConnection(strict.url) as wire:
        yield wire


def ask(wire, line, *headers, host="play.example", before=FAST_PATH, body=b""):
    size = [f"Content-Length: {len(body)}"] if body else []
    lines = [f"{line} HTTP/1.1", *([] if host is None else [f"Host: {host}"]), *headers, *size, "", ""]
    wire.socket.sendall(before + "\r\n".join(lines).encode("latin-1") + body)
    return wire.read()


@both_ways
def test_page_of_an_allowed_origin_can_read(wire, before):
    for origin in (origin for origins in ORIGINS.values() for origin in origins):
        answer = ask(wire, "GET /api/top-scores", f"Origin: {origin}", before=before)
        assert answer.headers["access-control-allow-origin"] == origin
        assert "Board-Version" in answer.headers["access-control-expose-headers"]


@both_ways
def test_page_of_another_origin_cannot_read(wire, before):
    for origin in STRANGERS:
        answer = ask(wire, "GET /api/top-scores", f"Origin: {origin}", before=before)
        assert "access-control-allow-origin" not in answer.headers


HANDSHAKE = [
    "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]  # fmt: skip
TEXT, CLOSE = 0x81, 0x88


def is_let_in(service, origin, host="play.example"):
    """Whether the first frame of a socket is the board, and not 4403."""
    with RawConnection(service.url) as wire:
        wire.send("GET /ws/score HTTP/1.1", f"Host: {host}", f"Origin: {origin}", *HANDSHAKE, host=False)
        assert wire.file.readline().startswith(b"HTTP/1.1 101 ")
        while wire.file.readline() != b"\r\n":
            pass
        kind, _ = wire.file.read(2)
        assert kind in (TEXT, CLOSE)
        return kind == TEXT or int.from_bytes(wire.file.read(2)) != 4403


def test_socket_of_an_allowed_origin_opens_and_no_other(strict):
    for origin in (origin for origins in ORIGINS.values() for origin in origins):
        assert is_let_in(strict, origin), origin
    for origin in STRANGERS:
        assert not is_let_in(strict, origin), origin


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("https://play.example", "play.example:443", True), ("http://play.example", "play.example:80", True),
        ("https://play.example:443", "play.example", True), ("https://[::1]", "[0:0::1]:443", True),
        ("https://play.example", "play.example:80", False), ("https://play.example:8443", "play.example", False),
    ],
)  # fmt: skip
def test_default_port_is_the_same_host(strict, origin, host, same):
    assert is_let_in(strict, origin, host) == same


@pytest.mark.parametrize(
    "names",
    [
        "sentry-trace, baggage", "traceparent,tracestate,baggage", "x-datadog-trace-id", "authorization,content-type",
        "if-board-version",
    ],
)  # fmt: skip
def test_preflight_allows_the_requested_headers(wire, names):
    headers = ("Origin: null", "Access-Control-Request-Method: POST", f"Access-Control-Request-Headers: {names}")
    answer = ask(wire, "OPTIONS /api/score", *headers)
    assert (answer.status, answer.headers["access-control-allow-headers"]) == (204, names)


@pytest.mark.parametrize("names", [None, "", "a b", "a,,b", "a,", "a;b", "(x)", "\xe4"])
def test_preflight_without_names_allows_the_headers_of_the_api(wire, names):
    requested = [] if names is None else [f"Access-Control-Request-Headers: {names}"]
    answer = ask(wire, "OPTIONS /api/score", "Origin: null", "Access-Control-Request-Method: POST", *requested)
    assert "Idempotency-Key" in answer.headers["access-control-allow-headers"]
    assert "If-Board-Version" in answer.headers["access-control-allow-headers"]


NAMES = ["play.example", "PLAY.example:8000", "play.example.", "kart.games.example", "[::1]:8000"]
REBOUND = [
    "evil.example",
    "play.example.evil.com",
    "a.b.games.example",
    "127.0.0.1:8000",
    "localhost",
    "",
    "a b",
    "x@play.example",
]
PATHS = [
    "GET /",
    "GET /docs",
    "GET /static/leaderboard.js",
    "GET /api/top-scores",
    "GET /api/v1/players/x",
    "GET /openapi.json",
]


@both_ways
@pytest.mark.parametrize("path", PATHS)
def test_allowed_host_name_is_served(wire, path, before):
    for host in NAMES:
        assert ask(wire, path, host=host, before=before).status in (200, 404)


@both_ways
@pytest.mark.parametrize("path", [*PATHS, "OPTIONS /api/score", "GET /ws/score"])
def test_other_host_name_is_misdirected(wire, path, before):
    for host in REBOUND:
        answer = ask(wire, path, host=host, before=before)
        assert (answer.status, answer.error) == (421, "host_not_allowed"), host


@both_ways
def test_update_under_another_host_name_is_not_counted(strict, wire, before):
    auth = f"Authorization: Bearer {token('rebound')}"
    answer = ask(wire, "POST /api/score", auth, host="evil.example", before=before, body=b'{"score": 5}')
    assert answer.status == 421
    assert ask(wire, "GET /api/v1/players/rebound").status == 404


@both_ways
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probe_by_ip_address_is_served(wire, path, before):
    for host in ("10.244.0.7:8000", "evil.example"):
        assert ask(wire, f"GET {path}", host=host, before=before).status == 200


def test_handshake_under_another_host_name_is_misdirected(wire):
    for host in REBOUND:
        answer = ask(wire, "GET /ws/score", *HANDSHAKE, host=host)
        assert (answer.status, answer.error) == (421, "host_not_allowed"), host


def test_host_of_the_target_overrides_the_header(wire):
    assert ask(wire, "GET http://evil.example/api/top-scores").error == "host_not_allowed"
    assert ask(wire, "GET http://play.example/api/top-scores").status == 200


def test_metrics_by_ip_address_are_served(strict):
    assert strict.metric("leaderboard_ranked_players") >= 0
    assert strict.readiness()[0] == 200


@pytest.mark.parametrize("path", ["/ws/score", "/ws/scoreboard", "/ws/leaderboard?token=x"])
def test_handshake_over_http_1_0_names_the_nginx_setting(service, path):
    with RawConnection(service.url) as wire:
        wire.send(f"GET {path} HTTP/1.0", *HANDSHAKE)
        answer = wire.read()
        assert (answer.status, answer.error) == (426, "upgrade_required")
        assert "proxy_http_version 1.1" in json.loads(answer.body)["message"]


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_handshake_without_the_upgrade_header_names_the_proxy(service, version):
    with RawConnection(service.url) as wire:
        wire.send(f"GET /ws/score {version}", "Connection: close", *HANDSHAKE[2:])
        answer = wire.read()
        assert (answer.status, answer.error) == (426, "upgrade_required")
        assert "proxy_set_header Upgrade" in json.loads(answer.body)["message"]
