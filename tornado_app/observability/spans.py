"""Tracing by OpenTelemetry. Imported only if tracing is enabled; no other module imports OpenTelemetry.

No attribute contains data of a player, a client or a credential, because traces are kept elsewhere and may outlive an
erasure. Spans are only created below a recorded span of a request, so the sampler decides once per request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from tornado_app.core.boards import View
from tornado_app.core.errors import LeaderboardError
from tornado_app.core.model import Receipt
from tornado_app.observability.logs import trace_id
from tornado_app.observability.tracing import EndRequest

log = logging.getLogger("leaderboard.tracing")

FLUSH_SECONDS = 3.0
"""Maximum seconds to send the last spans."""

GIVE_UP_SECONDS = 1.0
"""Maximum seconds for the exporter to shut down after that."""

MAX_COMMITS = 4096
"""Maximum score updates whose change was not seen yet; changes below the top 10 are never seen."""

MAX_TRACEPARENT = 512
"""Maximum characters of a client's header that are parsed; the propagator logs a warning for longer ones."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Spans:
    """The spans of one process, sent to the collector by a thread."""

    def __init__(self) -> None:
        self._exporter = OTLPSpanExporter()
        self._processor = BatchSpanProcessor(self._exporter)
        provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("leaderboard", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._submissions: dict[str, Span] = {}
        self._commits: dict[str, SpanContext] = {}
        self._changes: dict[View, Span] = {}
        self._refreshes: dict[View, Span] = {}
        self._broadcasts: dict[View, Span] = {}

    # -- a request --------------------------------------------------------------------------------

    def request(self, method: str, traceparent: str | None, request_id: str) -> EndRequest:
        """Begin the request's span, as part of the caller's trace if it names one.

        `tracestate` and `baggage` are ignored: the service does not propagate them, and clients could write to the log.
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
        context.attach(set_span_in_context(span))  # for this task; the next request of the connection replaces it
        known_trace = span.is_recording() or get_current_span(caller).get_span_context().is_valid
        trace_id.set(format_trace_id(span.get_span_context().trace_id) if known_trace else None)
        return partial(self._end_request, span, name)

    def _end_request(self, span: Span, name: str, route: str | None, status: int) -> None:
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
        """Begin the span of a score update, below that of this task's request."""
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
        """One span for the batch, below that of its first member, with links to and from all members."""
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

    def changed(self, view: View, write_ids: Sequence[str]) -> None:
        """Begin the span of what the view does about a change; it also tells how long the change waited."""
        commits = [commit for write_id in write_ids if (commit := self._commits.pop(write_id, None)) is not None]
        for commit in commits[:1]:  # all are of one batch
            self._cause(self._changes, view, "board refresh", commit)

    @contextlib.contextmanager
    def refresh(self, view: View) -> Iterator[None]:
        """End the span that traced changes of the view began with the enclosed block."""
        span = self._changes.pop(view, None)
        if span is None:
            yield
            return
        self._refreshes[view] = span
        try:
            with _ended(span):
                yield
        finally:
            del self._refreshes[view]

    def shown(self, view: View) -> None:
        """Begin the span of the view's broadcast."""
        refresh = self._refreshes.get(view)
        if refresh is not None:
            self._cause(self._broadcasts, view, "broadcast", refresh.get_span_context())

    @contextlib.contextmanager
    def broadcast(self, clients: Mapping[View, int]) -> Iterator[None]:
        """End the span of each view's broadcast with the enclosed block."""
        with contextlib.ExitStack() as ending:
            for view, count in clients.items():
                span = self._broadcasts.pop(view, None)
                if span is not None:
                    span.set_attribute("leaderboard.clients", count)
                    ending.enter_context(_ended(span))
            yield

    def _cause(self, spans: dict[View, Span], view: View, name: str, cause: SpanContext) -> None:
        """Begin the span of a view below its first cause; link it to any further one."""
        span = spans.get(view)
        if span is None:
            parent = set_span_in_context(NonRecordingSpan(cause))
            spans[view] = self._tracer.start_span(name, parent, attributes={"leaderboard.board": view.board})
        else:
            span.add_link(cause)

    # -- the end ----------------------------------------------------------------------------------

    async def close(self) -> None:
        """Send the remaining spans. The SDK itself would block the event loop for up to half a minute."""
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def send() -> None:
            self._processor.shutdown()
            with contextlib.suppress(RuntimeError):  # the loop is already closed
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
    """End the span with the enclosed block. Of an error only the type is recorded: the message may name a player."""
    try:
        yield
    except BaseException as error:
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(StatusCode.ERROR)
        raise
    finally:
        span.end()


def _result(answer: asyncio.Future[Receipt]) -> str:
    """The result, as in the metric `leaderboard_score_submissions_total`."""
    if answer.cancelled():
        return "cancelled"
    error = answer.exception()
    if error is None:
        return "replayed" if answer.result().replayed else "accepted"
    return error.code if isinstance(error, LeaderboardError) else type(error).__name__


def _resource() -> Resource:
    """The resource attributes of the environment, with a default name and version."""
    defaults = {SERVICE_NAME: "leaderboard", SERVICE_VERSION: __version__}
    given = OTELResourceDetector().detect().attributes
    return Resource.create({name: value for name, value in defaults.items() if name not in given})
