"""The events of one change stream for a second reader: a stream of its own would double the cost in mongod."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bson import Timestamp

from tornado_app.mongo.change_stream.events import PlayerEvent

Token = Mapping[str, Any]

MAX_EVENTS = 2000
"""Maximum number of waiting events. A slower reader is cut off, and opens a stream of its own."""

_TIME = re.compile(r"82([0-9A-F]{8})([0-9A-F]{8})")


def moment(token: Token | None) -> Timestamp | None:
    """The cluster time of a resume token: no earlier event follows it. None if the token does not contain it.

    A resume token is a KeyString in hexadecimal, which begins with the time: type 0x82, seconds, increment. Source:
    MongoDB, src/mongo/db/pipeline/resume_token.h
    """
    match = _TIME.match(str((token or {}).get("_data")))
    return None if match is None else Timestamp(int(match[1], 16), int(match[2], 16))


def comes_after(token: Token | None, place: Token | None) -> bool:
    """Whether an event's resume token is after another; true if either is unknown.

    Hexadecimal KeyStrings have the order of their values. A token without an event is before the events of its time.
    Source: as above.
    """
    here, there = (token or {}).get("_data"), (place or {}).get("_data")
    return not (isinstance(here, str) and isinstance(there, str)) or here > there


class Subscription:
    """The events of a stream after `start`, a resume token, until it is `closed`."""

    __slots__ = ("_events", "_max_events", "_token", "closed", "start")

    def __init__(self, start: Token, max_events: int = MAX_EVENTS) -> None:
        self._max_events = max_events
        self.start = start
        self.closed = False
        self._events: list[PlayerEvent] = []
        self._token: Token | None = None

    def put(self, event: PlayerEvent | None, token: Token | None) -> None:
        """Add an event, None if there were no more, and the token after it."""
        if self.closed:
            return
        if len(self._events) >= self._max_events:
            self.closed = True
            return
        if event is not None:
            self._events.append(event)
        self._token = token or self._token

    def take(self) -> tuple[list[PlayerEvent], Token | None]:
        """The events since the last call, and the token after them; None if nothing was read yet."""
        events, self._events = self._events, []
        return events, self._token
