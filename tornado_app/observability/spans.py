"""Tracing by OpenTelemetry. Imported only where it is on; nothing else imports OpenTelemetry.

No attribute holds anything of a player, a client or a credential: traces are kept elsewhere and for longer than an
erased player may be. A span is made only where a request's span is recorded, so that one decision, by the sampler,
holds for all that follows from a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from opentelemetry import context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tornado_app import __version__
from tornado_app.core.errors import LeaderboardError
from tornado_app.core.model import Receipt
from tornado_app.observability.logs import trace_id
from tornado_app.observability.tracing import Answered

log = logging.getLogger("leaderboard.tracing")

FLUSH_SECONDS = 3.0
"""How long the last spans may take; a collector that is down is not waited for any longer."""

GIVE_UP_SECONDS = 1.0
"""How long the exporter gets to end once it was told to give up."""

MAX_COMMITS = 4096
"""Score updates whose change has not been seen yet, or never will be as it is far down the board."""

MAX_TRACEPARENT = 512
"""Characters of a client's header that are looked at: of longer ones the propagator complains in the log each time."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Spans:
    """The spans of one process, on a thread of their own to the collector."""

    def __init__(self) -> None:
        self._exporter = OTLPSpanExporter()
        self._processor = BatchSpanProcessor(self._exporter)
        provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("leaderboard", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._submissions: dict[str, Span] = {}
        self._commits: dict[str, SpanContext] = {}
        self._change: Span | None = None
        self._refresh: Span | None = None
        self._broadcast: Span | None = None

    # -- a request --------------------------------------------------------------------------------

    def request(self, method: str, traceparent: str | None, request_id: str) -> Answered:
        """Begin the request's span, as a part of the caller's trace where it names one.

        `tracestate` and `baggage` are left alone: nothing here passes them on, and who sends them could write our log.
        """
        known = method in _METHODS
        name = method if known else "HTTP"
        carrier = {"traceparent": traceparent[:MAX_TRACEPARENT]} if traceparent else {}
        caller = self._propagator.extract(carrier, context.Context())
        span = self._tracer.start_span(
            name,
            caller,
            SpanKind.SERVER,
            {"http.request.method": method if known else "_OTHER", "http.response.header.x-request-id": [request_id]},
        )
        context.attach(set_span_in_context(span))  # for this task; the connection's next request takes its place
        known_trace = span.is_recording() or get_current_span(caller).get_span_context().is_valid
        trace_id.set(format_trace_id(span.get_span_context().trace_id) if known_trace else None)
        return partial(self._answered, span, name)

    def _answered(self, span: Span, name: str, route: str | None, status: int) -> None:
        if not span.is_recording():
            return
        span.set_attribute("http.response.status_code", status)
        if route is not None:
            span.update_name(f"{name} {route}")
            span.set_attribute("http.route", route)
        if status >= 500:
            span.set_attribute("error.type", str(status))
            span.set_status(StatusCode.ERROR)
        span.end()

    # -- a score update ---------------------------------------------------------------------------

    def submission(self, write_id: str, frontend: str, answer: asyncio.Future[Receipt]) -> None:
        """Begin the span of a score update, below that of the request which this task serves."""
        if get_current_span().is_recording():
            self._submissions[write_id] = self._tracer.start_span(
                "submit", attributes={"leaderboard.frontend": frontend}
            )
            answer.add_done_callback(partial(self._submitted, write_id))

    def _submitted(self, write_id: str, answer: asyncio.Future[Receipt]) -> None:
        span = self._submissions.pop(write_id)
        span.set_attribute("leaderboard.result", _result(answer))
        span.end()

    @contextlib.contextmanager
    def commit(self, write_ids: Sequence[str]) -> Iterator[None]:
        """One span for the batch, linked to its members, and they to it. It hangs below the first of them."""
        members = {write_id: span for write_id in write_ids if (span := self._submissions.get(write_id)) is not None}
        if not members:
            yield
            return
        first, *others = members.values()
        attributes: dict[str, str | int] = {"db.system.name": "mongodb", "leaderboard.batch.size": len(write_ids)}
        links = [Link(member.get_span_context()) for member in members.values()]
        span = self._tracer.start_span("group commit", set_span_in_context(first), SpanKind.CLIENT, attributes, links)
        here = span.get_span_context()
        for other in others:
            other.add_link(here)
        self._remember(members, here)
        with _ended(span):
            yield

    def _remember(self, write_ids: Iterable[str], commit: SpanContext) -> None:
        for write_id in write_ids:
            self._commits[write_id] = commit
        while len(self._commits) > MAX_COMMITS:
            del self._commits[next(iter(self._commits))]

    # -- the board --------------------------------------------------------------------------------

    def changed(self, write_id: str) -> None:
        """Begin the span of what the board does about a change; it also tells how long the change waited."""
        commit = self._commits.pop(write_id, None)
        if commit is not None:
            self._change = self._from(self._change, "board refresh", commit)

    @contextlib.contextmanager
    def refresh(self) -> Iterator[None]:
        """The span that the changes began, if any of them was traced, ends with what is inside."""
        self._refresh, self._change = self._change, None
        if self._refresh is None:
            yield
            return
        try:
            with _ended(self._refresh):
                yield
        finally:
            self._refresh = None

    def shown(self) -> None:
        """Begin the span of the broadcast."""
        if self._refresh is not None:
            self._broadcast = self._from(self._broadcast, "broadcast", self._refresh.get_span_context())

    @contextlib.contextmanager
    def broadcast(self, clients: int) -> Iterator[None]:
        """The span of the broadcast ends with what is inside."""
        span, self._broadcast = self._broadcast, None
        if span is None:
            yield
            return
        span.set_attribute("leaderboard.clients", clients)
        with _ended(span):
            yield

    def _from(self, span: Span | None, name: str, cause: SpanContext) -> Span:
        """A span below its first cause, linked to all others."""
        if span is None:
            return self._tracer.start_span(name, set_span_in_context(NonRecordingSpan(cause)))
        span.add_link(cause)
        return span

    # -- the end ----------------------------------------------------------------------------------

    async def close(self) -> None:
        """Send what is left; the SDK would wait for half a minute, and on the loop."""
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def send() -> None:
            self._processor.shutdown()
            with contextlib.suppress(RuntimeError):  # nobody has waited, and the loop is closed
                loop.call_soon_threadsafe(sent.set)

        threading.Thread(target=send, name="last spans", daemon=True).start()
        if not await _within(FLUSH_SECONDS, sent):
            log.warning("sending the last spans timed out, discarding them")
            self._exporter.shutdown()
            await _within(GIVE_UP_SECONDS, sent)


async def _within(seconds: float, event: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


@contextlib.contextmanager
def _ended(span: Span) -> Iterator[None]:
    """End the span with what is inside, and tell of an error its type alone: its message may name anybody."""
    try:
        yield
    except BaseException as error:
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(StatusCode.ERROR)
        raise
    finally:
        span.end()


def _result(answer: asyncio.Future[Receipt]) -> str:
    """As in the metric `leaderboard_score_submissions_total`."""
    if answer.cancelled():
        return "cancelled"
    error = answer.exception()
    if error is None:
        return "replayed" if answer.result().replayed else "accepted"
    return error.code if isinstance(error, LeaderboardError) else type(error).__name__


def _resource() -> Resource:
    """What the environment says of this service, and a name and a version where it says none."""
    ours = {SERVICE_NAME: "leaderboard", SERVICE_VERSION: __version__}
    given = OTELResourceDetector().detect().attributes
    return Resource.create({name: value for name, value in ours.items() if name not in given})
