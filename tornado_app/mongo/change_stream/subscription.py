"""The events of one change stream for a second reader: a stream of its own would double the cost in mongod."""

from __future__ import annotations

from collections.abc import Sequence

from tornado_app.mongo.change_stream.events import PlayerEvent
from tornado_app.mongo.change_stream.resume_point import Token

MAX_EVENTS = 2000
"""Maximum number of waiting events. A slower reader is cut off, and opens a stream of its own."""


class Subscription:
    """The events of a stream after `start`, a resume token, until it is `closed`."""

    __slots__ = ("_events", "_max_events", "_token", "closed", "start")

    def __init__(self, start: Token, max_events: int = MAX_EVENTS) -> None:
        self._max_events = max_events
        self.start = start
        self.closed = False
        self._events: list[PlayerEvent] = []
        self._token: Token | None = None

    def put(self, events: Sequence[PlayerEvent], token: Token | None) -> None:
        """Add events, and the token after them."""
        if self.closed:
            return
        if len(self._events) + len(events) > self._max_events:
            self.closed = True
            return
        self._events += events
        self._token = token or self._token

    def take(self) -> tuple[list[PlayerEvent], Token | None]:
        """The events since the last call, and the token after them; None if nothing was read yet."""
        events, self._events = self._events, []
        return events, self._token
