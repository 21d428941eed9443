"""Every metric of the service. No label holds a player id.

If the values of a label are known, they are declared with it, and their series exist from the start, so that `rate` is
right from the first count. docs/metrics.md is generated from these declarations.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import product
from typing import Literal, TypeAlias, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.metrics import MetricWrapperBase

from tornado_app import __version__

disable_created_metrics()  # type: ignore[no-untyped-call]  # they would add a series to each metric

Aggregation: TypeAlias = Literal["sum", "max", "min"]
"""How a scrape aggregates a gauge over several processes. Counters and histograms are always summed."""

M = TypeVar("M", bound=MetricWrapperBase)

FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Bucket bounds in seconds, among them the thresholds of the objectives: 0.25 (response) and 0.5 (propagation)."""

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

SLOW = 0.25
"""Seconds from which every request gets an exemplar."""

EXEMPLAR_INTERVAL = 1.0
"""Minimum seconds between two exemplars of faster requests."""

OTHER = "other"
"""The label value for values that are not in the list of known ones."""

COMMANDS = ("find", "findAndModify", "update", "insert", "delete", "aggregate", "listCollections", "ping", OTHER)
"""Database commands that have a label value of their own."""

RESTARTS = (
    "AutoReconnect", "NetworkTimeout", "ServerSelectionTimeoutError", "NotPrimaryError", "CursorNotFound",
    "delete", "drop", "dropDatabase", "external_write", "history_lost", "inconsistent_change", "invalidate",
    "ranks_differ", "refused", "rename", "replace", "replaced", "resume_timeout", OTHER,
)  # fmt: skip
"""Why a change stream is reopened: the driver's error, or why the board must be read from the database again."""

_PROCESS_AGGREGATIONS: dict[str, Aggregation] = {
    "process_virtual_memory_bytes": "sum",
    "process_resident_memory_bytes": "sum",
    "process_start_time_seconds": "max",
    "process_open_fds": "max",
    "process_max_fds": "max",
}


class Metrics:
    """The service's metrics on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.aggregations: dict[str, Aggregation] = dict(_PROCESS_AGGREGATIONS)
        self._declare_requests()
        self._declare_sockets()
        self._declare_feed()
        self._declare_database()
        self._declare_health()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def _declare_requests(self) -> None:
        self.http_requests = self._counter("http_requests", "HTTP responses sent.", method=(), route=(), code=())
        self.forwarded_ignored = self._counter(
            "forwarded_ignored",
            "Requests whose X-Forwarded-For was ignored, because the sender is not in trusted_proxies.",
        )
        self.http_duration = self._histogram(
            "http_request_duration_seconds", "Time from a request's headers to its response.", method=(), route=()
        )
        self.submissions = self._counter(
            "score_submissions", "Score updates by frontend and result (accepted, replayed or an error code).",
            frontend=(), result=(),
        )  # fmt: skip
        self.points = self._counter("score_points", "Points added by accepted score updates.", frontend=())
        self.abuse_reports = self._counter("abuse_reports", "Reports of the abuse detector, by rule.", rule=())
        self.jwks_refreshes = self._counter(
            "jwks_refreshes",
            "Fetches of the identity provider's JWK Set, by result: changed, unchanged or failed.",
            result=(),
        )
        self.jwks_age = self._gauge(
            "jwks_age_seconds",
            "Time since the last successful fetch of the identity provider's JWK Set; infinite before the first.",
            aggregation="max",
        )

    def _declare_sockets(self) -> None:
        self.sockets = self._gauge("websocket_connections", "Open WebSockets.", frontend=(), aggregation="sum")
        self.socket_limit = self._gauge("websocket_connections_limit", "Maximum open WebSockets.", aggregation="sum")
        self.sockets_opened = self._counter("websocket_opened", "WebSockets accepted.", frontend=())
        self.socket_refusals = self._counter(
            "websocket_refusals", "WebSockets closed with an error, on connection or later, by error code.", reason=()
        )
        self.socket_messages = self._counter("websocket_messages", "Messages sent to WebSockets.", frontend=())
        self.evictions = self._counter(
            "websocket_evictions",
            "WebSockets closed by the service: stalled (the client does not read) or silent (no pong).",
            reason=("stalled", "silent"),
        )
        self.propagation = self._histogram(
            "update_propagation_seconds", "Time from an accepted change of the top 10 to the last message about it."
        )

    def _declare_feed(self) -> None:
        self.feed_lag = self._gauge(
            "change_stream_lag_seconds",
            "Time that the change stream is behind the database or has been silent; infinite while there is none.",
            aggregation="max",
        )
        self.feed_restarts = self._counter(
            "change_stream_restarts", "Change streams reopened, by reason.", reason=RESTARTS
        )
        self.ranked = self._gauge("ranked_players", "Players on a board.", aggregation="max", board=())
        self.boards_applied = self._gauge(
            "boards_file_applied",
            "1 if the served boards are those of boards_file, 0 if its last change was not applied; the log says why.",
            aggregation="min",
        )
        self.period_remaining = self._gauge(
            "period_remaining_seconds",
            "Time until the end of the open epoch of a period. No series for an epoch that is ended by hand.",
            aggregation="min", board=(), period=(),
        )  # fmt: skip
        self.period_unsealed = self._gauge(
            "period_unsealed_seconds",
            "Time for which the oldest epoch without a final result could have been sealed; 0 if none is over.",
            aggregation="max", board=(), period=(),
        )  # fmt: skip
        self.late_updates = self._counter(
            "period_late_updates",
            "Score updates that the database made in an epoch more than 10 seconds after its end. Each process counts "
            "those of all.",
            board=(), period=(),
        )  # fmt: skip
        self.rank_checks = self._counter(
            "rank_checks", "Checks of the ranks in memory against the database: agreed, or differed and reloaded.",
            result=("agreed", "differed"),
        )  # fmt: skip

    def _declare_database(self) -> None:
        self.database_up = self._gauge(
            "database_up", "1 if the last check of the database succeeded.", aggregation="min"
        )
        self.commands = self._histogram(
            "mongodb_command_duration_seconds",
            "Duration of successful database commands, without getMore.",
            command=COMMANDS,
        )
        self.failed_commands = self._counter(
            "mongodb_command_failures", "Database commands that failed or timed out.", command=COMMANDS
        )
        self._commands = {name: self.commands.labels(name) for name in COMMANDS}
        self.batch_size = Histogram(
            "leaderboard_batch_write_size", "Score updates in one batch write.", buckets=SIZES, registry=self.registry
        )
        self.pending_writes = self._gauge(
            "pending_writes", "Score updates waiting for a batch write.", aggregation="sum"
        )
        self.ledger_entries = self._counter(
            "ledger_entries",
            "Ledger entries by kind. external: changes not made by the service; reconciled: gaps filled after lost "
            "history.",
            kind=(),
        )
        self.ledger_lag = self._gauge(
            "ledger_lag_seconds",
            "Time that the ledger is behind the players, or has had no writer.",
            aggregation="max",
        )
        self.collection_bytes = self._gauge(
            "collection_bytes", "Disk space of a collection and its indexes.", aggregation="max", collection=()
        )
        self.disk_bytes = self._gauge(
            "database_disk_bytes",
            "Size of the database's file system, free and total, if MongoDB reports it (dbStats).",
            aggregation="max",
            state=(),
        )
        self.ledger_writer = self._gauge("ledger_writer", "1 if this process writes the ledger.", aggregation="sum")

    def _declare_health(self) -> None:
        self.ready = self._gauge("ready", "1 if the service is ready for traffic.", aggregation="min")
        self.draining = self._gauge("draining", "1 while the process is shutting down.", aggregation="max")
        self.loop_lag = self._gauge(
            "event_loop_lag_seconds",
            "Maximum delay of an event-loop timer since the last scrape.",
            aggregation="max",
        )
        self.processes = self._gauge("processes", "Running processes.", aggregation="sum")
        self.restarts = self._counter("process_restarts", "Processes restarted after they exited.")
        build = self._gauge(
            "build_info", "Always 1, labelled with the version.", version=(__version__,), aggregation="max"
        )
        build.labels(__version__).set(1)

    def command(self, name: str, seconds: float | None) -> None:
        """Record a database command: its duration, or None if it failed."""
        name = known_label(name, COMMANDS)
        if seconds is None:
            self.failed_commands.labels(name).inc()
        else:
            self._commands[name].observe(seconds)

    def _counter(self, name: str, text: str, **labels: Iterable[str]) -> Counter:
        return _started(Counter(f"leaderboard_{name}", text, list(labels), registry=self.registry), labels)

    def _gauge(self, name: str, text: str, *, aggregation: Aggregation, **labels: Iterable[str]) -> Gauge:
        self.aggregations[f"leaderboard_{name}"] = aggregation
        return _started(Gauge(f"leaderboard_{name}", text, list(labels), registry=self.registry), labels)

    def _histogram(self, name: str, text: str, **labels: Iterable[str]) -> Histogram:
        found = Histogram(f"leaderboard_{name}", text, list(labels), buckets=FAST, registry=self.registry)
        return _started(found, labels)


class ExemplarHistogram:
    """A histogram whose exemplars carry request ids: of every slow request, and of one request a second otherwise.

    An exemplar costs as much as several observations, and each bucket keeps only the newest.
    """

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._last = float("-inf")

    def observe(self, seconds: float, request: str) -> None:
        """Record the duration of the request with this id."""
        now = time.monotonic()
        if seconds < SLOW and now - self._last < EXEMPLAR_INTERVAL:
            self._histogram.observe(seconds)
            return
        self._last = now
        self._histogram.observe(seconds, {"request_id": request})


def _started(metric: M, labels: dict[str, Iterable[str]]) -> M:
    """Create the series of all known label values, so that each starts at 0."""
    for values in product(*labels.values()) if labels else ():
        metric.labels(*values)
    return metric


def known_label(value: str, values: Iterable[str]) -> str:
    """`value` if it is one of `values`, else OTHER."""
    return value if value in values else OTHER
