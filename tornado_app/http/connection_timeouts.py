"""Closes connections that are idle or do not read their responses, and lets clients read the last one before a close.

There is one timer or one table for all connections. Tornado would create a timer for each request, which costs a
twentieth of an update.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import socket
import struct
import termios
from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import takewhile

from tornado.iostream import IOStream

log = logging.getLogger("leaderboard.http")

SEND_BUFFER = 128 * 1024
"""Size of a connection's send buffer in the kernel, which doubles it for its bookkeeping."""

MAX_TAKEN_OVER = 1000
"""Maximum number of closed connections whose last response is watched. The kernel times out further ones."""

SLICE = 500
"""Connections that are checked before the event loop serves others: about a millisecond of work."""

_RESET = struct.pack("ii", 1, 0)
_TCP_INFO = getattr(socket, "TCP_INFO", None)
_BYTES_ACKED = struct.Struct("=120xQ")
"""tcp_info.tcpi_bytes_acked. Source: Linux, include/uapi/linux/tcp.h"""

LINGER_SECONDS = 5.0
"""Maximum time for which incoming data is discarded."""

LINGER_BYTES = 16 * 1024 * 1024
"""Maximum amount of incoming data that is discarded."""

_CHUNK = 64 * 1024


class IdleTimeouts:
    """The connections that wait for a request, the longest waiting first; `timeout` is in seconds."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._since: OrderedDict[IOStream, float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._since)

    def track(self, stream: IOStream) -> None:
        """Start the timeout of a connection, again if it has one."""
        loop = asyncio.get_running_loop()
        self._since[stream] = loop.time()
        self._since.move_to_end(stream)
        if self._timer is None:
            self._timer = loop.call_later(self._timeout, self._close_expired)

    def since(self, moment: float) -> list[IOStream]:
        """The connections that have waited since this time of the event loop, or longer."""
        return [stream for stream, _ in takewhile(lambda entry: entry[1] <= moment, self._since.items())]

    def untrack(self, stream: IOStream) -> None:
        """Stop the timeout of a connection, if it has one."""
        self._since.pop(stream, None)

    def close(self) -> None:
        """Stop all timeouts."""
        self._since.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _close_expired(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        while self._since:
            stream, since = next(iter(self._since.items()))
            left = since + self._timeout - loop.time()
            if left > 0:
                self._timer = loop.call_later(left, self._close_expired)
                return
            self.untrack(stream)
            stream.close()


def unsent(of: socket.socket) -> int:
    """Bytes in the kernel that the other side has not acknowledged."""
    try:
        return int(struct.unpack("=i", fcntl.ioctl(of.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0])
    except OSError:
        return 0  # the connection has ended


def acknowledged(of: socket.socket) -> int:
    """A number that grows whenever the other side acknowledges data."""
    try:
        if _TCP_INFO is not None:
            found = of.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _BYTES_ACKED.size)
            return int(_BYTES_ACKED.unpack(found)[0])
    except (OSError, struct.error):
        return 0
    return -unsent(of)


def peer(of: socket.socket) -> str | None:
    """The address of the other side, None if the connection has ended."""
    try:
        return str(of.getpeername()[0])
    except OSError:
        return None


def reset(closing: socket.socket) -> None:
    """Make the following `close` discard unacknowledged data, and reset the connection."""
    closing.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


class _Progress:
    """The progress of one connection, and since when it has not changed. `stream`: None after it was closed."""

    __slots__ = ("acknowledged", "since", "socket", "stream")

    def __init__(self, of: socket.socket, stream: IOStream | None, now: float) -> None:
        self.socket = of
        self.stream = stream
        self.acknowledged = acknowledged(of)
        self.since = now

    @property
    def done(self) -> bool:
        """Whether all data was acknowledged, or the connection has ended."""
        if self.stream is not None and (self.stream.closed() or self.stream.writing()):
            return self.stream.closed()
        return unsent(self.socket) == 0

    def end(self) -> None:
        """Abort the connection, and discard unacknowledged data."""
        with contextlib.suppress(OSError):  # the connection may have ended
            reset(self.socket)
        if self.stream is None:
            self.socket.close()
        else:
            self.stream.close(exc_info=ConnectionAbortedError())


class SendTimeouts:
    """The connections with unacknowledged data. `timeout`: seconds without progress after which one is aborted.

    Data that a client does not read stays in the kernel, up to megabytes for each connection, even after the connection
    was closed. Progress is data that the client's side acknowledged, so a slow reader keeps its connection as long as
    it reads. Linux's TCP_USER_TIMEOUT does not replace this: it also aborts readers with a small window.

    `idle_timeouts`: the connections that wait for a request; the kernel may still hold their last response.
    """

    def __init__(self, timeout: float, idle_timeouts: IdleTimeouts) -> None:
        self._timeout = timeout
        self._idle_timeouts = idle_timeouts
        self._watched: dict[IOStream | socket.socket, _Progress] = {}
        self._taken_over = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._watched)

    def start(self) -> None:
        """Start the timer, with the first connection."""
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(self._timeout / 2, self._sweep)

    def watch(self, stream: IOStream) -> None:
        """Watch a connection whose response was not sent at once."""
        if stream not in self._watched:
            self._watched[stream] = _Progress(stream.socket, stream, asyncio.get_running_loop().time())

    def take_over(self, closing: socket.socket) -> None:
        """Watch the connection after this socket is closed, which must follow, until all data was acknowledged."""
        if not unsent(closing):
            return
        if self._closed or self._taken_over >= MAX_TAKEN_OVER:
            self._leave_to_kernel(closing)
            return
        try:
            closing.shutdown(socket.SHUT_WR)
            kept = socket.socket(fileno=socket.dup(closing.fileno()))
        except OSError:
            return  # the client has closed the connection
        self._taken_over += 1
        self._watched[kept] = _Progress(kept, None, asyncio.get_running_loop().time())

    def _leave_to_kernel(self, closing: socket.socket) -> None:
        with contextlib.suppress(OSError, AttributeError):  # gone, or not Linux
            closing.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(self._timeout * 1000))

    def close(self) -> None:
        """Stop watching. The kernel discards data that is not acknowledged in time."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for progress in self._watched.values():
            if progress.stream is None:
                self._leave_to_kernel(progress.socket)
                progress.socket.close()
        self._watched.clear()

    def _sweep(self, rest: Iterator[IOStream] | None = None) -> None:
        """Check all connections, SLICE at a time."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if rest is None:
            self._check(now)
            rest = iter(self._idle_timeouts.since(now - self._timeout / 2))
        checked = 0
        for checked, stream in enumerate(rest, 1):
            if stream not in self._watched and not stream.closed() and unsent(stream.socket):
                self.watch(stream)
            if checked == SLICE:
                self._timer = loop.call_later(0, self._sweep, rest)
                return
        self._timer = loop.call_later(self._timeout / 2, self._sweep)

    def _check(self, now: float) -> None:
        for key, progress in list(self._watched.items()):
            if progress.done:
                self._unwatch(key, progress)
                if progress.stream is None:
                    progress.socket.close()
            elif (found := acknowledged(progress.socket)) != progress.acknowledged:
                progress.acknowledged, progress.since = found, now
            elif now - progress.since >= self._timeout:
                self._unwatch(key, progress)
                about = {"event": "cut_off", "reason": "send_timeout", "remote": peer(progress.socket)}
                progress.end()
                log.info("client does not read its responses, connection aborted", extra=about)

    def _unwatch(self, key: IOStream | socket.socket, progress: _Progress) -> None:
        del self._watched[key]
        self._taken_over -= progress.stream is None


class LingeringCloser:
    """Connections whose write side is closed, and whose clients may still be sending.

    When a socket is closed while the client is sending, the kernel resets the connection, and the client loses the
    response that it has not read. So the write side is closed first, and incoming data is discarded for a while.
    Source: RFC 9112, section 9.6.
    """

    def __init__(self, before_close: Callable[[socket.socket], None] = lambda kept: None) -> None:
        self._before_close = before_close
        self._open: dict[socket.socket, asyncio.TimerHandle] = {}
        self._left: dict[socket.socket, int] = {}

    def __len__(self) -> int:
        return len(self._open)

    def take_over(self, closing: socket.socket) -> None:
        """Keep the connection half open after this socket is closed, which must follow."""
        try:
            closing.shutdown(socket.SHUT_WR)
            kept = socket.socket(fileno=socket.dup(closing.fileno()))
        except OSError:
            return  # the client has closed the connection
        kept.settimeout(0)
        loop = asyncio.get_running_loop()
        self._open[kept] = loop.call_later(LINGER_SECONDS, self._release, kept)
        self._left[kept] = LINGER_BYTES
        loop.add_reader(kept, self._discard, kept)

    def close(self) -> None:
        """Close all connections."""
        for kept in list(self._open):
            self._release(kept)

    def _discard(self, kept: socket.socket) -> None:
        try:
            size = len(kept.recv(_CHUNK))
        except BlockingIOError:
            return
        except OSError:
            size = 0
        self._left[kept] -= size
        if size == 0 or self._left[kept] <= 0:
            self._release(kept)

    def _release(self, kept: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(kept)
        self._open.pop(kept).cancel()
        del self._left[kept]
        self._before_close(kept)
        kept.close()
