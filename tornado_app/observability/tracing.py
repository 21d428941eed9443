"""A request's way from its headers to the frame that shows it, as spans: what is told of it, and to whom.

Off unless `OTEL_TRACES_EXPORTER` is `otlp`. Until then OpenTelemetry is not imported, and each place that would tell
has None to ask. The variables are OpenTelemetry's own, and so they are read here and by its SDK, not by `config`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias

from tornado_app.core.model import Receipt

log = logging.getLogger("leaderboard.tracing")

Answered: TypeAlias = Callable[[str | None, int], None]
"""To be called with route (None: there is none) and status when the request is answered."""


class Tracing(Protocol):
    """What is told of a request's way. No call waits for anything, and none raises."""

    def request(self, method: str, traceparent: str | None, request_id: str) -> Answered:
        """The headers of a request have come; what follows in this task belongs to it. Sets the logs' `trace_id`."""

    def submission(self, write_id: str, frontend: str, answer: asyncio.Future[Receipt]) -> None:
        """This task's request waits for a score update, which `write_id` marks."""

    def commit(self, write_ids: Sequence[str]) -> AbstractContextManager[None]:
        """What is inside applies these score updates together."""

    def changed(self, write_id: str) -> None:
        """The change that `write_id` marks may change the top 10."""

    def refresh(self) -> AbstractContextManager[None]:
        """What is inside reads the top 10 anew."""

    def shown(self) -> None:
        """The refresh under way has found another top 10, and shows it."""

    def broadcast(self, clients: int) -> AbstractContextManager[None]:
        """What is inside sends to all clients what was shown."""

    async def close(self) -> None:
        """Send what is left to the collector, for some seconds at most."""
