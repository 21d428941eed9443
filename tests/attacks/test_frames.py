"""Attacks on the sockets, frame by frame: too large, endless, too many, from another site's page, and silent ones."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import time

import pytest
from websockets.exceptions import ConnectionClosed

from tests.attacks.attack_env import RecordedConnection, new_user
from tests.support.wait import wait_until
from tests.support.websocket_client import opened

PATHS = ("/ws/scoreboard", "/ws/score", "/ws/leaderboard")
HANDSHAKE = (
    "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip
TEXT, CONTINUATION, PING, PONG, CLOSE, FIN, RSV1 = 1, 0, 9, 10, 8, 0x80, 0x40


def frame(opcode: int, payload: bytes = b"", *, flags: int = FIN, length: int | None = None) -> bytes:
    """One masked frame, whose length may be false."""
    size = len(payload) if length is None else length
    if size < 126:
        head = struct.pack("!BB", flags | opcode, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", flags | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", flags | opcode, 0x80 | 127, size)
    return head + b"\0\0\0\0" + payload


@contextlib.contextmanager
def raw(service, path="/ws/scoreboard", *headers: str, **options):
    """A socket without a client library: the handshake is over."""
    with RecordedConnection(service, **options) as wire:
        wire.send(f"GET {path} HTTP/1.1", *HANDSHAKE, *headers)
        assert wire.file.readline().startswith(b"HTTP/1.1 101")
        while wire.file.readline() not in (b"\r\n", b""):
            pass
        yield wire


def rest(wire) -> bytes:
    """All bytes until the connection ends by a close or a reset."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := wire.socket.recv(65536):
            received += piece
    return received


BAD_FRAMES = {
    "a length of 2**63": frame(TEXT, b"x", length=2**63 - 1),
    "a length of 9000": frame(TEXT, b"x", length=9000),
    "a ping of 126": frame(PING, b"x" * 126),
    "a ping in fragments": frame(PING, b"x", flags=0),
    "a continuation of nothing": frame(CONTINUATION, b"x"),
    "a compressed message, unasked": frame(TEXT, b"\x00" * 100, flags=FIN | RSV1),
    "an unknown opcode": frame(3, b"x"),
    "a message inside a fragmented one": frame(TEXT, b"x", flags=0) + frame(TEXT, b"y"),
    "fragments past the limit": frame(TEXT, b"x" * 6000, flags=0) + frame(CONTINUATION, b"x" * 6000),
    "text that is no UTF-8": frame(TEXT, b"\xff\xfe"),
    "a close with a code that is none": frame(CLOSE, struct.pack("!H", 999)),
}


@pytest.mark.parametrize("attack", BAD_FRAMES)
def test_malformed_frame_closes_only_its_connection(attack_env, attack):
    """The connection ends at once, without the announced rest; others are not affected."""
    with attack_env.unchanged(), opened(attack_env.service) as watcher, raw(attack_env.service) as wire:
        watcher.read()
        wire.socket.sendall(BAD_FRAMES[attack])
        rest(wire)
        watcher.client.ping().wait(10)


def test_oversized_message_closes_with_its_reason(attack_env):
    with raw(attack_env.service) as wire:
        wire.socket.sendall(frame(TEXT, b"x", length=9000))
        assert b"\x88" + bytes([2 + len("a message may have 8192 bytes")]) + struct.pack("!H", 1009) in rest(wire)


def test_ping_flood_without_reading_the_pongs_is_closed(attack_env):
    """16 MB of pings: the pongs do not pile up in the service's memory, and others are served."""
    before = attack_env.service.memory
    flood = frame(PING, b"x" * 125) * 500
    with (
        opened(attack_env.second_service) as elsewhere,
        opened(attack_env.service) as watcher,
        raw(attack_env.service, receive_buffer=2048) as wire,
    ):
        watcher.read(), elsewhere.read()
        wire.socket.settimeout(5)
        with contextlib.suppress(OSError):  # it may be cut off
            for _ in range(250):
                wire.socket.sendall(flood)
        watcher.client.ping().wait(10)
        assert attack_env.service.memory < before + 6 * 1024


def test_flood_of_meaningless_messages_does_no_harm(attack_env, user):
    """They are read and dropped; the socket stays open, and no state grows."""
    before = attack_env.service.memory
    with opened(attack_env.service, "/ws/leaderboard") as watcher:
        watcher.read()
        for n in range(3000):
            watcher.send(json.dumps({"type": f"subscribe-{n}", "channel": os.urandom(20).hex()}))
        watcher.client.ping().wait(30)
        assert attack_env.service.memory < before + 16 * 1024


def test_endless_fragments_close_the_connection(attack_env):
    """Endless empty fragments hold no memory, and the limit applies."""
    before = attack_env.service.memory
    with opened(attack_env.service) as watcher, raw(attack_env.service) as wire:
        wire.socket.sendall(frame(TEXT, b"", flags=0) + frame(CONTINUATION, b"", flags=0) * 50_000)
        wire.socket.sendall(frame(CONTINUATION, b"x" * 1000, flags=0) * 9)
        assert struct.pack("!H", 1009) in rest(wire)
        watcher.client.ping().wait(10)
    assert attack_env.service.memory < before + 16 * 1024


def test_repeated_authentication_keeps_one_subscriber(attack_env):
    """A player who changes the token with each message is one subscriber, and leaves no state."""
    users = [new_user() for _ in range(50)]
    tokens = [attack_env.token(user) for user in users]
    with opened(attack_env.service, "/ws/leaderboard") as watcher:
        for token in tokens * 4:
            watcher.send(json.dumps({"type": "authenticate", "token": token}))
        watcher.client.ping().wait(10)
        attack_env.service.post(
            "/api/score", {"score": 7}, token=tokens[0], headers={"Action-Proof": attack_env.proof(users[0])}
        )
        attack_env.service.post(
            "/api/score", {"score": 7}, token=tokens[-1], headers={"Action-Proof": attack_env.proof(users[-1])}
        )
        own = watcher.read_until(lambda message: message["type"] == "user.scoreUpdate")[-1]
        assert own["data"]["newScore"] == 7
        assert len([user for user in users if attack_env.score(user) == 7]) == 2


def test_half_open_socket_is_closed(attack_env, strict):
    """A client without pongs is closed although its connection is open."""
    with raw(strict, "/ws/scoreboard", "X-Forwarded-For: 198.51.100.20") as wire:
        wait_until(lambda: strict.metric("leaderboard_websocket_connections") >= 1, what="it is in")
        wire.socket.settimeout(20)
        assert rest(wire)
        wait_until(lambda: strict.metric("leaderboard_websocket_connections") == 0, what="it is out")


def test_half_handshake_times_out(attack_env, strict):
    """A client that never finishes the handshake times out."""
    with RecordedConnection(strict) as wire:
        wire.socket.sendall(b"GET /ws/scoreboard HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n")
        began = time.monotonic()
        assert rest(wire) == b""
        assert time.monotonic() - began < 9


ORIGINS = [
    "https://evil.example", "null", "file://", "http://", "http://127.0.0.1", "http://127.0.0.1:1", "http://[",
    "http://127.0.0.1.evil.example", "chrome-extension://abcdef", "http://127.0.0.1@evil.example",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_cross_origin_socket_is_refused(attack_env, path, user):
    """A page of another site gets a close code and no board; its token is not verified."""
    for origin in ORIGINS:
        for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
            with opened(
                attack_env.service, f"{path}?token={attack_env.token(user)}", origin=origin, headers=headers
            ) as watcher:
                assert watcher.ended() == (4403, "origin_not_allowed")


def test_message_on_a_socket_changes_nothing(attack_env, user):
    """A message on a socket never scores."""
    with (
        attack_env.unchanged(),
        opened(attack_env.service, f"/ws/leaderboard?token={attack_env.token(user)}") as watcher,
    ):
        for message in (
            {"type": "score", "score": 7}, {"type": "scores/update", "actionId": "a", "actionType": "level_complete"},
            {"type": "user.scoreUpdate", "data": {"newScore": 900}}, {"type": "authenticate", "token": {"$gt": ""}},
        ):  # fmt: skip
            watcher.send(json.dumps(message | {"proof": attack_env.proof(user)}))
        watcher.client.ping().wait(10)


def test_sockets_beyond_the_limit_of_an_address_are_refused(attack_env, strict):
    """Sockets are closed with a code on every path; a forged address does not help."""
    forged = "203.0.113.{n}, 198.51.100.21"
    first, second = ({"X-Forwarded-For": forged.format(n=n)} for n in (1, 2))
    with opened(strict, headers=first) as one, opened(strict, "/ws/score", headers=second) as two:
        one.read(), two.read()
        for n, path in enumerate(PATHS, 3):
            with opened(strict, path, headers={"X-Forwarded-For": forged.format(n=n)}) as more:
                assert more.ended() == (4429, "too_many_connections")
    with pytest.raises(ConnectionClosed):
        one.client.recv(1)
