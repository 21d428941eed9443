"""Load shedding: while too many score updates wait, the fast path refuses further ones before they are dispatched.

Dispatching an update and refusing it costs a third of an update, so at twice its capacity the service would do little
else (docs/reliability.md). The fast path therefore refuses updates with a cached response, without checking the token.
Updates that are not eligible for the fast path are dispatched, and the store refuses them.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable
from http import HTTPStatus
from typing import NamedTuple

from tornado_app.api.board_routes import split
from tornado_app.api.frontends.base import Frontend
from tornado_app.api.rest.submission_log import SubmissionRecorder
from tornado_app.api.rest.submit import rate_limit_policy_header
from tornado_app.core.boards import MAIN
from tornado_app.core.errors import Overloaded
from tornado_app.core.policies import RateLimit
from tornado_app.http import errors
from tornado_app.http.dispatcher import Dispatcher
from tornado_app.http.messages import Headers, encode_head

log = logging.getLogger("leaderboard.http")

LOG_INTERVAL = 1.0
"""Minimum seconds between two log lines."""

MAX_CACHED_ORIGINS = 64
"""Maximum number of origins for which the response is cached."""


_ID = "<request id>"
"""Placeholder of the request's id in a cached response; no request id contains these characters."""


class Update(NamedTuple):
    """A kind of score update: its board, the name of its frontend, and its method and path."""

    board: str
    frontend: str
    method: str
    path: str


class LoadShedder:
    """Refuses score updates to a board while its `capacity` or more are in progress.

    It counts updates that have arrived completely, so an incomplete request does not take capacity from others.
    `boards`: the names of the served boards.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        recorder: SubmissionRecorder,
        frontends: Iterable[Frontend],
        limit: RateLimit,
        capacity: Callable[[str], int],
        boards: Container[str],
    ) -> None:
        self._dispatcher = dispatcher
        self._recorder = recorder
        self._policy = rate_limit_policy_header(limit)
        self._capacity = capacity
        self._boards = boards
        self._inside: Counter[str] = Counter()
        self._updates = {
            f"{write.method} {write.path} HTTP/1.1".encode(): Update(MAIN.name, frontend.name, write.method, write.path)
            for frontend in frontends
            for write in frontend.writes
        }
        self._answers: dict[str | None, tuple[bytes, bytes]] = {}
        self._refused = 0
        self._logged_at = -LOG_INTERVAL

    def full(self, update: Update) -> bool:
        return self._inside[update.board] >= self._capacity(update.board)

    def update(self, data: bytes) -> Update | None:
        """The kind of update in a request's first line; None for another request."""
        line = data[: data.find(b"\r\n")]
        update = self._updates.get(line)
        if update is None and b" /boards/" in line:
            method, _, target = line.decode("latin-1").partition(" ")
            board, rest = split(target)
            update = self._updates.get(f"{method} {rest}".encode("latin-1")) if board in self._boards else None
            return None if update is None else update._replace(board=board)
        return update

    def acquire(self, update: Update) -> None:
        self._inside[update.board] += 1

    def release(self, update: Update) -> None:
        self._inside[update.board] -= 1

    def refuse(self, update: Update, headers: Headers, began: float) -> bytes:
        """Count and log a refused update; its response. `began`: a time of `time.perf_counter`."""
        request_id = self._dispatcher.request_id(headers.get("X-Request-Id"))
        before, after = self._answer(headers.get("Origin"))
        self._recorder.unread(update.frontend, Overloaded.code)
        seconds = time.perf_counter() - began
        self._dispatcher.count(update.method, update.path, HTTPStatus.SERVICE_UNAVAILABLE, seconds, request_id)
        self._log(began)
        return b"%b%b%b" % (before, request_id.encode(), after)

    def _answer(self, origin: str | None) -> tuple[bytes, bytes]:
        """The response to a page of this origin: its bytes before and after the request's id."""
        found = self._answers.get(origin)
        if found is None:
            response = errors.response(Overloaded(retry_after=1.0)).plus(self._policy)
            head = encode_head(response.status, self._dispatcher.headers(response, _ID, origin))
            before, _, after = head.partition(_ID.encode())
            found = before, after + response.body
            if len(self._answers) < MAX_CACHED_ORIGINS:
                self._answers[origin] = found
        return found

    def _log(self, now: float) -> None:
        self._refused += 1
        if now - self._logged_at >= LOG_INTERVAL:
            log.warning(
                "too many score updates in progress, refusing further ones",
                extra={"event": "shedding", "refused": self._refused},
            )
            self._refused, self._logged_at = 0, now
