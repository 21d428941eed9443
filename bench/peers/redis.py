"""A Redis with one sorted set, for its rank command: written in the wire protocol, as no client library is needed."""

from __future__ import annotations

import contextlib
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from bench.processes import START_SECONDS, Failed, Program, until
from tornado_app.mongo.embedded.mongod import free_port

KEY = "board"
ADDED_AT_ONCE = 1000


class Redis:
    """A connection. Source: the Redis serialization protocol, RESP2."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")

    def close(self) -> None:
        """End the connection."""
        self._answers.close()
        self._socket.close()

    def ask(self, *words: str) -> int:
        """One command whose answer is a number. Raises Failed for an error."""
        encoded = [word.encode() for word in words]
        self._socket.sendall(
            b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)
        )
        answer = self._answers.readline()
        if not answer.startswith(b":"):
            raise Failed(f"Redis answered {answer!r}")
        return int(answer[1:])

    def fill(self, scores: dict[str, int]) -> None:
        """Add all players."""
        rows = list(scores.items())
        for start in range(0, len(rows), ADDED_AT_ONCE):
            page = rows[start : start + ADDED_AT_ONCE]
            self.ask("ZADD", KEY, *(word for player, score in page for word in (str(score), player)))

    def rank(self, player: str) -> int:
        """1 for the best; among equals, the order of their names decides."""
        return 1 + self.ask("ZREVRANK", KEY, player)


@contextlib.contextmanager
def running(folder: Path, cores: frozenset[int]) -> Iterator[Redis | None]:
    """A new Redis in memory only; None where it is not installed."""
    binary = shutil.which("redis-server")
    if binary is None:
        yield None
        return
    port = free_port()
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with Program(command, folder / "redis.log", cores), contextlib.closing(_connect(port)) as redis:
        yield redis


def _connect(port: int) -> Redis:
    for _ in until(START_SECONDS, "Redis answers"):
        with contextlib.suppress(ConnectionRefusedError):
            return Redis(port)
    raise AssertionError("until() raises at its end")
