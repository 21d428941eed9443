"""Idle connections are closed, and connections whose clients do not read their responses are aborted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.raw_http import FALLBACK, RawConnection, quietly
from tests.support.wait import eventually, wait_until
from tornado_app.http.connection_timeouts import IdleTimeouts

PATIENCE = 10.0
MOST = 0.05

SECONDS = 1.0


class Stream:
    """A connection that knows when it was closed."""

    closed_at = None

    def close(self):
        self.closed_at = asyncio.get_running_loop().time()


async def test_connection_is_closed_after_its_own_timeout():
    loop, idle = asyncio.get_running_loop(), IdleTimeouts(MOST)
    streams, since = [Stream(), Stream()], []
    for stream in streams:
        idle.track(stream)
        since.append(loop.time())
        await asyncio.sleep(MOST / 2)
    await eventually(lambda: all(stream.closed_at for stream in streams), PATIENCE)
    assert all(stream.closed_at >= began + MOST - 0.001 for stream, began in zip(streams, since, strict=True))
    # A timer that is left would keep the event loop busy; nothing else shows it.
    assert (len(idle), idle._timer) == (0, None)


async def test_track_again_restarts_the_timeout():
    loop, idle, busy, other = asyncio.get_running_loop(), IdleTimeouts(MOST), Stream(), Stream()
    idle.track(busy)
    idle.track(other)
    last = 0.0
    while other.closed_at is None:
        idle.untrack(busy)
        idle.track(busy)
        last = loop.time()
        await asyncio.sleep(MOST / 10)
    await eventually(lambda: busy.closed_at is not None, PATIENCE)
    assert busy.closed_at >= last + MOST - 0.001 > other.closed_at


async def test_untracked_connection_is_not_closed():
    idle, untracked, other = IdleTimeouts(MOST), Stream(), Stream()
    idle.track(untracked)
    idle.untrack(untracked)
    idle.untrack(untracked)
    idle.track(other)
    await eventually(lambda: other.closed_at is not None, PATIENCE)
    assert untracked.closed_at is None


async def test_close_stops_all_timeouts():
    idle, stream = IdleTimeouts(MOST), Stream()
    idle.track(stream)
    # One timer serves all connections, which only the object itself shows.
    timer = idle._timer
    idle.close()
    assert timer.cancelled()
    assert (len(idle), stream.closed_at) == (0, None)


@pytest.fixture(scope="module")
def short_timeout_service(run_service, module_database):
    uri, name = module_database
    return run_service("--send-timeout", f"{SECONDS:g}s", "--idle-timeout", "60s", uri=uri, database=name)


@contextlib.contextmanager
def small_connection(service):
    """A connection with a small receive buffer, and `held` for what the kernel keeps of its responses."""
    with RawConnection(service.url, receive_buffer=4096) as wire:
        wire.held = lambda: held(urlsplit(service.url).port, wire.port)
        wire.port = wire.socket.getsockname()[1]
        yield wire


@pytest.fixture
def wire(short_timeout_service):
    with small_connection(short_timeout_service) as wire:
        yield wire


def held(port, peer):
    """Bytes that the kernel keeps of the service's answers on one connection; None once that is gone."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if (int(local.partition(":")[2], 16), int(remote.partition(":")[2], 16)) == (port, peer):
            return int(queues.partition(":")[0], 16)
    return None


def get(path="/docs", *headers, version="HTTP/1.1"):
    return "\r\n".join([f"GET {path} {version}", "Host: x", *headers, "", ""]).encode()


UNREAD = {
    "pipelined": get() * 50,
    "pipelined by Tornado": (FALLBACK + get()) * 50,
    "pipelined without end": get() * 5000,
    "one large answer": get("/openapi.json"),
    "one large answer by Tornado": FALLBACK + get("/openapi.json"),
    "many small answers": get("/healthz") * 5000,
    "the last answer": get("/openapi.json", "Connection: close"),
    "HTTP/1.0": get("/openapi.json", version="HTTP/1.0"),
    "then malformed": get() * 20 + b"\0\r\n\r\n",
    "then too large": get() * 20 + b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100_000,
}


@pytest.fixture(scope="module")
def unread(short_timeout_service):
    """A connection for each of UNREAD, which time out side by side."""
    with contextlib.ExitStack() as stack:
        wires = {name: stack.enter_context(small_connection(short_timeout_service)) for name in UNREAD}
        for name, wire in wires.items():
            wire.socket.settimeout(0.5)
            with contextlib.suppress(TimeoutError, ConnectionError):
                wire.socket.sendall(UNREAD[name])
        yield wires


@pytest.mark.parametrize("name", UNREAD)
def test_client_that_reads_nothing_is_closed(short_timeout_service, unread, name):
    wire = unread[name]
    wait_until(lambda: wire.held() is None, 5 + 4 * SECONDS + 5, "nothing of it is kept")  # 5 s: of lingering
    quietly(short_timeout_service)


def test_closed_client_is_one_log_line(short_timeout_service, wire):
    before = short_timeout_service.log.count('"cut_off"')
    wire.socket.sendall(get("/openapi.json") * 10)
    wait_until(lambda: short_timeout_service.log.count('"cut_off"') > before, 4 * SECONDS + 5, "the line")
    *_, line = (json.loads(line) for line in short_timeout_service.log.splitlines() if '"cut_off"' in line)
    assert (line["level"], line["logger"], line["reason"]) == ("info", "leaderboard.http", "send_timeout")
    assert line["remote"] == "127.0.0.1"


def test_client_that_disconnects_during_a_send_is_removed(short_timeout_service, wire):
    wire.socket.sendall(get("/openapi.json") * 10)
    wire.socket.shutdown(1)
    wait_until(lambda: wire.held() is None, 4 * SECONDS + 5, "nothing of it is kept")


@pytest.mark.parametrize("before", [b"", FALLBACK], ids=["fast path", "Tornado"])
def test_slow_reader_gets_the_whole_response(short_timeout_service, wire, before):
    """Its window is small and mostly shut, and it takes several times the timeout."""
    count = 6
    wire.socket.sendall((before + get("/openapi.json")) * count)
    began = time.monotonic()
    found = b""
    while found.count(b'"x-errors"') < count or not found.endswith(b"}"):
        piece = wire.socket.recv(8192)
        assert piece, f"cut off after {len(found)} bytes"
        found += piece
        time.sleep(0.02)
    assert time.monotonic() - began > 2 * SECONDS


def test_reader_that_pauses_within_the_timeout_is_not_closed(short_timeout_service, wire):
    for _ in range(4):
        wire.socket.sendall(get("/docs"))
        time.sleep(SECONDS * 0.7)
        assert wire.read().status == 200


def test_idle_connection_without_pending_bytes_stays_open(short_timeout_service, wire):
    wire.socket.sendall(get("/healthz"))
    assert wire.read().status == 200
    time.sleep(3 * SECONDS)
    wire.socket.sendall(get("/healthz"))
    assert wire.read().status == 200


def test_last_response_of_a_closed_connection_can_be_read_slowly(short_timeout_service, wire):
    wire.socket.sendall(get("/openapi.json", "Connection: close"))
    time.sleep(SECONDS * 0.7)
    assert wire.read().status == 200
    assert wire.ended()


def test_kernel_memory_of_a_connection_is_bounded(short_timeout_service, wire):
    """Not megabytes, as the kernel would take by itself."""
    wire.socket.settimeout(0.3)
    with contextlib.suppress(TimeoutError, ConnectionError):
        wire.socket.sendall(get() * 5000)
    most = 0
    wait_until(lambda: wire.held(), SECONDS, "something is held")
    for _ in range(10):
        most = max(most, wire.held() or 0)
        time.sleep(0.02)
    assert 0 < most < 1024 * 1024
