"""What a frontend is made of; each is one module in frontends/, and they all go through these few shapes.

A frontend translates: a request to a Submission, a Receipt to its own answer, a Top to its own messages. It decides
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tornado_app.core.model import Caller, Receipt, Standing, Submission
from tornado_app.core.scoreboard import Scoreboard
from tornado_app.http.messages import Request
from tornado_app.live.hub import Channel


class ScoreEndpoint(msgspec.Struct, frozen=True):
    """One request that raises a score: what reads it, and what answers it.

    `body` and `answer` are the types on the wire; they are there for the OpenAPI document, as is `idempotency_key`:
    whether that header is read.
    """

    method: str
    path: str
    summary: str
    body: type[Any]
    answer: type[Any]
    read: Callable[[Request, Caller], Submission]
    render: Callable[[Receipt, Scoreboard], Any]
    optional_body: bool = False
    creates: bool = False
    created_status: int = 200
    idempotency_key: bool = True


class BoardEndpoint(msgspec.Struct, frozen=True):
    """One public view of the board, rendered once for each change.

    `personal` adds a known caller's own place to the rendered value.
    """

    path: str
    summary: str
    answer: type[Any]
    render: Callable[[Scoreboard], Any]
    personal: Callable[[Any, Standing], Any] | None = None


class Frontend(msgspec.Struct, frozen=True):
    """A frontend of the API contract, by its letter; `messages` are the types that its sockets send."""

    name: str
    writes: tuple[ScoreEndpoint, ...] = ()
    reads: tuple[BoardEndpoint, ...] = ()
    sockets: tuple[tuple[str, Channel], ...] = ()
    messages: tuple[type[Any], ...] = ()
