"""The interface of tracing: from a request's headers to the frame that shows its effect.

Disabled unless `OTEL_TRACES_EXPORTER` is `otlp`; OpenTelemetry is not imported then. The variables are OpenTelemetry's
own, so they are read by `otel_setup` and the SDK, not by `config`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeAlias

from tornado_app.core.boards import View
from tornado_app.core.model import Receipt

log = logging.getLogger("leaderboard.tracing")

EndRequest: TypeAlias = Callable[[str | None, int], None]
"""Ends the span of a request: called with the route (None for an unknown path) and the status."""


class Tracing(Protocol):
    """Records spans. No method blocks, and none raises."""

    def request(self, method: str, traceparent: str | None, request_id: str) -> EndRequest:
        """Begin the span of a request, to which all spans of this task belong. Sets the logs' `trace_id`."""

    def submission(self, write_id: str, frontend: str, answer: asyncio.Future[Receipt]) -> None:
        """This task's request waits for a score update, which `write_id` marks."""

    def commit(self, write_ids: Sequence[str]) -> AbstractContextManager[None]:
        """Trace the enclosed block, which applies these score updates together."""

    def changed(self, view: View, write_ids: Sequence[str]) -> None:
        """The change that these writes made may change the top 10 of a view."""

    def refresh(self, view: View) -> AbstractContextManager[None]:
        """Trace the enclosed block, which reads the top 10 of a view again."""

    def shown(self, view: View) -> None:
        """Note that the current refresh of a view has found another top 10, and shows it."""

    def broadcast(self, clients: Mapping[View, int]) -> AbstractContextManager[None]:
        """Trace the enclosed block, which sends the new top 10 of each of these views to all its clients."""

    async def close(self) -> None:
        """Send the remaining spans to the collector, within a few seconds."""


class NoTracing:
    """Records nothing."""

    def request(self, method: str, traceparent: str | None, request_id: str) -> EndRequest:
        return _ignore

    def submission(self, write_id: str, frontend: str, answer: asyncio.Future[Receipt]) -> None:
        pass

    def commit(self, write_ids: Sequence[str]) -> AbstractContextManager[None]:
        return nullcontext()

    def changed(self, view: View, write_ids: Sequence[str]) -> None:
        pass

    def refresh(self, view: View) -> AbstractContextManager[None]:
        return nullcontext()

    def shown(self, view: View) -> None:
        pass

    def broadcast(self, clients: Mapping[View, int]) -> AbstractContextManager[None]:
        return nullcontext()

    async def close(self) -> None:
        pass


def _ignore(route: str | None, status: int) -> None:
    pass


NO_TRACING: Tracing = NoTracing()
