"""Clients that write, read and listen during a fault, and record the responses.

What counts as failed: any answer but the one that is due, and any connection that is refused, cut or silent. With one
exception: a connection that was kept after an answer, and turns out to be closed before the next one began, is opened
again and the request sent once more. HTTP lets servers close idle connections at any time, and its client libraries do
the same (RFC 9112, 9.3.1). A write is safe to send again: it carries an Idempotency-Key.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any
from uuid import uuid4

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tests.support.service import token
from tests.support.wait import wait_until

ANSWER_SECONDS = 10.0
PAUSE = 0.03
RETRY_PAUSE = 0.1
PLAYERS = 400
"""Of each writer, in turn: so many that none comes near the limit of 10 updates a minute."""
CLOSED = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)
WRITERS, READERS, LISTENERS = 6, 2, 12
MANY = 200
PAGE = "/api/v1/leaderboard?limit=200"
SOCKETS = ("/ws/scoreboard", "/ws/score", "/ws/leaderboard")


@dataclass
class Account:
    """What the clients saw. Threads share it: each member is only appended to, or has keys of one thread each."""

    acknowledged: Counter[str] = field(default_factory=Counter)
    answered: list[float] = field(default_factory=list)
    """When each answer came."""
    sent_again: list[float] = field(default_factory=list)
    failed: list[tuple[float, str]] = field(default_factory=list)
    away: list[float] = field(default_factory=list)
    """How long a socket that was cut took to be back with the board, each time."""

    def __str__(self) -> str:
        again = f"{len(self.sent_again)} sent again on a new connection"
        back = f"{len(self.away)} times a socket came back, the slowest in {max(self.away, default=0):.1f} s"
        return f"{len(self.answered)} requests answered, {again}, {len(self.failed)} failed; {back}"


class Connection:
    """A client's connection, which it keeps for as long as the server does."""

    def __init__(self, address: str, account: Account) -> None:
        self._http = http.client.HTTPConnection(address, timeout=ANSWER_SECONDS)
        self._account = account

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        """The JSON of the answer; None where the request has failed."""
        sent = (method, path, None if body is None else json.dumps(body), headers or {})
        try:
            status, found = self._twice(*sent) if self._http.sock is not None else self._once(*sent)
        except (OSError, http.client.HTTPException) as error:
            self._http.close()
            self._account.failed.append((time.monotonic(), f"{method} {path}: {error!r}"))
            return None
        if status not in (200, 201):
            self._account.failed.append((time.monotonic(), f"{method} {path}: {status} {found}"))
            return None
        self._account.answered.append(time.monotonic())
        return found

    def close(self) -> None:
        self._http.close()

    def _twice(self, *sent: Any) -> tuple[int, Any]:
        try:
            return self._once(*sent)
        except CLOSED:
            self._http.close()
            self._account.sent_again.append(time.monotonic())
            return self._once(*sent)

    def _once(self, *sent: Any) -> tuple[int, Any]:
        self._http.request(*sent)
        answer = self._http.getresponse()
        return answer.status, json.loads(answer.read())


class Clients:
    """Writers, readers and listeners at one address, a thread each; a context manager."""

    def __init__(self, address: str) -> None:
        self.account = Account()
        self._address = address
        self._name = uuid4().hex[:8]
        self._stop = threading.Event()
        self._listening = threading.Barrier(LISTENERS + 1)
        works: list[Callable[[], None]] = [partial(self._write, number) for number in range(WRITERS)]
        works += [self._read] * READERS
        works += [partial(self._listen, SOCKETS[number % len(SOCKETS)]) for number in range(LISTENERS)]
        self._threads = [threading.Thread(target=each, daemon=True) for each in works]

    def __enter__(self) -> Clients:
        for each in self._threads:
            each.start()
        self._listening.wait(ANSWER_SECONDS)
        self.go_on()
        return self

    def __exit__(self, *_: object) -> None:
        """Each write is acknowledged before its client ends, and each socket is back."""
        self._stop.set()
        for each in self._threads:
            each.join(2 * ANSWER_SECONDS)
        assert not any(each.is_alive() for each in self._threads), f"a client hangs: {self.account.failed[-5:]}"

    def go_on(self) -> None:
        """Until a good many more requests are answered."""
        mark = len(self.account.answered)
        wait_until(lambda: len(self.account.answered) > mark + MANY, 30, "the clients are served")

    def wrong(self) -> dict[str, tuple[int, int]]:
        """Players whose points are not what was acknowledged: that, and what the board shows."""
        connection, shown = Connection(self._address, self.account), Counter[str]()
        path: str | None = PAGE
        while path is not None:
            page = connection.ask("GET", path)
            assert page is not None, self.account.failed[-1]
            shown.update({each["user_id"]: each["score"] for each in page["players"]})
            path = page["next"] and f"{PAGE}&after={page['next']}"
        connection.close()
        shown_points = Counter({name: points for name, points in shown.items() if name.startswith(self._name)})
        players = shown_points.keys() | self.account.acknowledged.keys()
        acknowledged = self.account.acknowledged
        return {
            name: (acknowledged[name], shown_points[name])
            for name in players
            if acknowledged[name] != shown_points[name]
        }

    def _write(self, number: int) -> None:
        connection = Connection(self._address, self.account)
        for turn in count():
            if self._stop.is_set():
                break
            player = f"{self._name}-{number}-{turn % PLAYERS}"
            bearer = f"Bearer {token(player, scope='scores:write')}"
            headers = {"Authorization": bearer, "Idempotency-Key": uuid4().hex, "Content-Type": "application/json"}
            while connection.ask("POST", "/api/score", {"score": 1}, headers) is None:
                time.sleep(RETRY_PAUSE)
            self.account.acknowledged[player] += 1
            time.sleep(PAUSE)
        connection.close()

    def _read(self) -> None:
        connection = Connection(self._address, self.account)
        while not self._stop.is_set():
            connection.ask("GET", "/api/top-scores")
            time.sleep(PAUSE)
        connection.close()

    def _listen(self, path: str) -> None:
        cut: float | None = None
        while True:
            try:
                with connect(f"ws://{self._address}{path}", open_timeout=ANSWER_SECONDS, proxy=None) as socket:
                    socket.recv(ANSWER_SECONDS)
                    if cut is None:
                        self._listening.wait(ANSWER_SECONDS)
                    else:
                        self.account.away.append(time.monotonic() - cut)
                        cut = None
                    while not self._stop.is_set():
                        with suppress(TimeoutError):
                            socket.recv(0.5)
                    return
            except (OSError, WebSocketException):
                cut = cut or time.monotonic()
            time.sleep(random.uniform(0.05, 0.3))
