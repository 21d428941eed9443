"""Attacks on HTTP itself: requests hidden in requests, clients that keep the service waiting, floods of connections."""

from __future__ import annotations

import contextlib
import select
import time
from contextlib import ExitStack

import pytest

from tests.attacks.attack_env import RecordedConnection, new_user
from tests.support.malformed_http import AMBIGUOUS
from tests.support.raw_http import RawConnection
from tests.support.wait import wait_until

MANY = 60


def inner(attack_env, user: str) -> bytes:
    """A complete request that would count on its own connection."""
    return (
        f"POST /api/score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {attack_env.token(user)}\r\n"
        f'Action-Proof: {attack_env.proof(user)}\r\nContent-Length: 11\r\n\r\n{{"score":7}}'
    ).encode()


@pytest.mark.parametrize("how", AMBIGUOUS)
def test_smuggled_request_is_not_served(attack_env, user, how):
    """An ambiguous request is refused, and what follows it on the connection is never read as a request."""
    headers, body = AMBIGUOUS[how]
    with attack_env.unchanged(), RecordedConnection(attack_env.service) as wire:
        wire.send("POST /api/score HTTP/1.1", *headers, body=body + inner(attack_env, user))
        assert wire.read().status == 400
        assert wire.ended()


def test_request_smuggled_behind_a_websocket_handshake_is_not_served(attack_env, user):
    """A request with a body or a refused one opens no tunnel."""
    handshake = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 8", "Sec-WebSocket-Key: x"]
    with attack_env.unchanged(), RecordedConnection(attack_env.service) as wire:
        wire.send("GET /ws/score HTTP/1.1", *handshake, "Content-Length: 500", body=inner(attack_env, user)[:500])
        assert wire.read().status in (400, 401, 413, 426)


def test_path_and_override_headers_do_not_reach_another_resource(attack_env, user):
    """No header moves a request to another path, method or host."""
    token = attack_env.token(user)
    with attack_env.unchanged():
        for header in (
            "X-Original-URL",
            "X-Rewrite-URL",
            "X-HTTP-Method-Override",
            "X-Forwarded-Path",
            "X-Forwarded-Host",
        ):
            value = "POST" if "Method" in header else "/api/score"
            assert attack_env.service.get("/no/such", token=token, headers={header: value}).status == 404
            assert attack_env.service.get("/api/score", token=token, headers={header: value}).status == 405
        for path in ("/metrics", "/%2e%2e/metrics", "//metrics", "/api/../metrics", "/readyz/../metrics"):
            assert attack_env.service.get(path).status == 404


def drip(wires: list[RawConnection], piece: bytes) -> bool:
    """Send a little more on each connection; whether the service has closed them all."""
    for wire in list(wires):
        with contextlib.suppress(OSError):
            wire.socket.sendall(piece)
        if select.select([wire.socket], [], [], 0)[0]:
            with contextlib.suppress(OSError):
                if not wire.socket.recv(65536):
                    wires.remove(wire)
                continue
            if wire in wires:
                wires.remove(wire)
    return not wires


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"GET /api/top-scores HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"a"),
        (b"POST /api/score HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n{", b" "),
        (b"POST /api/score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"", b""),
    ],
    ids=["headers", "body", "chunks", "silence"],
)
def test_slow_requests_do_not_block_other_clients(attack_env, strict, start, piece):
    """Many clients that send a byte at a time do not delay others, and time out although they are not silent."""
    with ExitStack() as stack:
        wires = [stack.enter_context(RawConnection(strict.url)) for _ in range(MANY)]
        for wire in wires:
            wire.socket.sendall(start)
        left = list(wires)
        began = time.monotonic()
        assert strict.get("/api/top-scores").status == 200
        wait_until(lambda: drip(left, piece), 30, "all are cut off")
        assert time.monotonic() - began < 30
    assert "Traceback" not in strict.log


def test_pipelining_without_reading_the_responses_is_bounded(attack_env):
    """The service stops reading from a client that does not read, and its memory does not grow."""
    before = attack_env.service.memory
    request = b"GET /docs HTTP/1.1\r\nHost: x\r\n\r\n" * 500
    with RecordedConnection(attack_env.service, receive_buffer=2048) as wire:
        wire.socket.settimeout(2)
        with contextlib.suppress(TimeoutError):
            for _ in range(2000):  # 31 MB of requests, for some gigabytes of answers
                wire.socket.sendall(request)
            pytest.fail("everything was taken")
        assert attack_env.service.get("/healthz").status == 200
        assert attack_env.service.memory < before + 64 * 1024
        wire.close(abruptly=True)


def test_flood_of_silent_connections_does_not_block_other_clients(attack_env):
    """Each costs a descriptor until the idle timeout; other clients are served."""
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(RawConnection(attack_env.second_service.url))
        assert attack_env.second_service.get("/api/top-scores").status == 200


def test_half_closed_and_reset_connections_do_no_harm(attack_env, user):
    """A complete write counts once and an incomplete one never, however the client disconnects."""
    request = inner(attack_env, user)
    for size in (10, 40, len(request) - 1):
        with RawConnection(attack_env.service.url) as wire:
            wire.socket.sendall(request[:size])
            wire.close(abruptly=size % 20 == 0)
    with RawConnection(attack_env.service.url) as wire:
        wire.socket.sendall(request)
        wire.close(abruptly=True)
    wait_until(lambda: attack_env.score(user) == 7, what="the whole one")
    with RecordedConnection(attack_env.service) as wire:
        wire.socket.sendall(request)
        assert wire.read().headers["idempotent-replay"] == "true"
    assert attack_env.score(user) == 7


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=a", "application/x-www-form-urlencoded", "text/plain"])
def test_form_of_another_site_changes_nothing(attack_env, user, kind):
    """Bodies that a page can send without a preflight are not parsed: no multipart, no forms (CVE-2025-47287)."""
    bodies = [
        b'--a\r\nContent-Disposition: form-data; name="score"\r\n\r\n7\r\n' * 100 + b"--a--",
        b"score=7",
        b'{"score":7}',
    ]
    for body in bodies:
        with attack_env.unchanged():
            headers = {"Content-Type": kind, "Action-Proof": attack_env.proof(user)}
            answer = attack_env.service.post("/api/score", body, token=attack_env.token(user), headers=headers)
            assert (answer.status, answer.json["error"]) == (415, "unsupported_media_type")


def test_compressed_bodies_are_refused(attack_env, user):
    """Nothing is decompressed, so there are no decompression bombs."""
    for coding in ("gzip", "deflate", "br", "gzip, gzip", "identity, gzip"):
        with attack_env.unchanged():
            headers = {"Content-Encoding": coding, "Action-Proof": attack_env.proof(user)}
            answer = attack_env.service.post(
                "/api/score", b"\x1f\x8b" + b"\0" * 1000, token=attack_env.token(user), headers=headers
            )
            assert (answer.status, answer.json["error"]) == (415, "unsupported_media_type")


def test_cross_origin_pages_cannot_read(attack_env):
    """No response is readable for another site, no preflight allows a write, and there are no cookies."""
    for origin in ("https://evil.example", "null", attack_env.service.url.replace("http", "https")):
        preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        for answer in (
            attack_env.service.get("/api/leaderboard", headers=preflight),
            attack_env.service.call("OPTIONS", "/api/score", headers=preflight),
        ):
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert "Access-Control-Allow-Methods" not in answer.headers
            assert "Set-Cookie" not in answer.headers


def test_responses_reveal_no_internals(attack_env):
    """No version, no framework, no trace."""
    for path in ("/", "/api/top-scores", "/no/such", "/ws/score"):
        answer = attack_env.service.get(path)
        assert "Server" not in answer.headers
        assert "X-Powered-By" not in answer.headers
        assert not any(word in answer.body.lower() for word in (b"tornado", b"traceback", b"pymongo", b".py"))
    assert attack_env.service.get(f"/api/v1/players/{new_user()}").json["error"] == "player_not_found"
