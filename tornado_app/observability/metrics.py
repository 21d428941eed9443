"""Every metric of the service, declared once. Never a player id as a label.

Where the values of a label are known, they stand beside its name, and their series are there from the start: a rate is
then right from the first count on. docs/metrics.md is made of these declarations.
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

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nobody asks for

Join: TypeAlias = Literal["sum", "max", "min"]
"""What a scrape makes of a metric that several processes have; counters and histograms are added up."""

M = TypeVar("M", bound=MetricWrapperBase)

FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds. The bounds of the objectives are edges: 0.25 for an answer, 0.5 for the way to the open pages."""

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

SLOW = 0.25
EXEMPLAR_EVERY = 1.0
"""Seconds."""

OTHER = "other"
"""The label value of all that is not known."""

COMMANDS = ("find", "findAndModify", "update", "insert", "delete", "aggregate", "listCollections", "ping", OTHER)
"""Database commands that are told apart."""

RESTARTS = (
    "AutoReconnect", "NetworkTimeout", "ServerSelectionTimeoutError", "NotPrimaryError", "CursorNotFound",
    "delete", "drop", "dropDatabase", "external_write", "history_lost", "invalidate", "inconsistent_change",
    "ranks_differ", "refused", "rename", "replace", "replaced", OTHER,
)  # fmt: skip
"""Why a change stream is opened again: the driver's error, or why the board has to be read anew."""

_PROCESS_JOINS: dict[str, Join] = {
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
        self.joins: dict[str, Join] = dict(_PROCESS_JOINS)
        self._declare_requests()
        self._declare_sockets()
        self._declare_feed()
        self._declare_database()
        self._declare_health()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def _declare_requests(self) -> None:
        self.http_requests = self._counter("http_requests", "HTTP requests answered.", method=(), route=(), code=())
        self.forwarded_ignored = self._counter(
            "forwarded_ignored",
            "Requests whose X-Forwarded-For came from an address that trusted_proxies does not name.",
        )
        self.http_duration = self._histogram(
            "http_request_duration_seconds", "Time from a request's headers to its answer.", method=(), route=()
        )
        self.submissions = self._counter(
            "score_submissions", "Score updates by frontend and result: accepted, replayed or an error code.",
            frontend=(), result=(),
        )  # fmt: skip
        self.points = self._counter("score_points", "Points added by accepted score updates.", frontend=())
        self.suspicious = self._counter("suspicious", "Submissions that a rule held suspicious.", rule=())
        self.jwks_refreshes = self._counter(
            "jwks_refreshes", "Fetches of the identity provider's keys: changed, unchanged or failed.", result=()
        )
        self.jwks_age = self._gauge(
            "jwks_age_seconds",
            "Time since the identity provider last gave its keys; infinite where it never did.",
            join="max",
        )

    def _declare_sockets(self) -> None:
        self.sockets = self._gauge("websocket_connections", "Open WebSockets.", frontend=(), join="sum")
        self.socket_limit = self._gauge("websocket_connections_limit", "WebSockets that may be open.", join="sum")
        self.sockets_opened = self._counter("websocket_opened", "WebSockets that were let in.", frontend=())
        self.socket_refusals = self._counter(
            "websocket_refusals", "WebSockets closed with an error, when they came or later, by its code.", reason=()
        )
        self.socket_messages = self._counter("websocket_messages", "Messages handed to WebSockets.", frontend=())
        self.evictions = self._counter(
            "websocket_evictions",
            "WebSockets cut off: stalled, for they did not read; silent, for they answered no ping.",
            reason=("stalled", "silent"),
        )
        self.propagation = self._histogram(
            "update_propagation_seconds", "Time from an accepted change of the top 10 to its last send."
        )

    def _declare_feed(self) -> None:
        self.feed_lag = self._gauge(
            "change_stream_lag_seconds",
            "How long the change stream has been silent or behind the database; infinite while it is down.",
            join="max",
        )
        self.feed_restarts = self._counter("change_stream_restarts", "Change streams opened again.", reason=RESTARTS)
        self.ranked = self._gauge("ranked_players", "Players on the board.", join="max")
        self.rank_checks = self._counter(
            "rank_checks", "Ranks in memory compared with the database: agreed, or differed and read anew.",
            result=("agreed", "differed"),
        )  # fmt: skip

    def _declare_database(self) -> None:
        self.database_up = self._gauge("database_up", "1 where the database answered when last asked.", join="min")
        self.commands = self._histogram(
            "mongodb_command_duration_seconds",
            "Time of a database command that succeeded; a change stream's waiting (getMore) is left out.",
            command=COMMANDS,
        )
        self.failed_commands = self._counter(
            "mongodb_command_failures", "Database commands that failed or were not answered in time.", command=COMMANDS
        )
        self._commands = {name: self.commands.labels(name) for name in COMMANDS}
        self.commit_size = Histogram(
            "leaderboard_group_commit_size", "Score updates in one flush.", buckets=SIZES, registry=self.registry
        )
        self.waiting = self._gauge("group_commit_waiting", "Score updates that wait for a flush.", join="sum")
        self.ledger_entries = self._counter(
            "ledger_entries", "Ledger entries by kind; external and reconciled: nobody vouches for them.", kind=()
        )
        self.ledger_lag = self._gauge(
            "ledger_lag_seconds",
            "How long the ledger has been behind the players, or written by nobody.",
            join="max",
        )
        self.collection_bytes = self._gauge(
            "collection_bytes", "What a collection uses on disk, its indexes included.", join="max", collection=()
        )
        self.disk_bytes = self._gauge(
            "database_disk_bytes",
            "The file system of the database, free and total; where MongoDB reports it (dbStats).",
            join="max",
            state=(),
        )
        self.ledger_writer = self._gauge("ledger_writer", "1 in the process that writes the ledger.", join="sum")

    def _declare_health(self) -> None:
        self.ready = self._gauge("ready", "1 where traffic should come.", join="min")
        self.draining = self._gauge("draining", "1 from the order to end on.", join="max")
        self.loop_lag = self._gauge(
            "event_loop_lag_seconds",
            "How late a timer of the event loop was, at worst since the last scrape.",
            join="max",
        )
        self.processes = self._gauge("processes", "Processes that serve.", join="sum")
        self.restarts = self._counter("process_restarts", "Processes that ended and were started again.")
        build = self._gauge("build_info", "1, with the version.", version=(__version__,), join="max")
        build.labels(__version__).set(1)

    def command(self, name: str, seconds: float | None) -> None:
        """A database command ended; `seconds` None: it failed."""
        name = known(name, COMMANDS)
        if seconds is None:
            self.failed_commands.labels(name).inc()
        else:
            self._commands[name].observe(seconds)

    def _counter(self, name: str, text: str, **labels: Iterable[str]) -> Counter:
        return _started(Counter(f"leaderboard_{name}", text, list(labels), registry=self.registry), labels)

    def _gauge(self, name: str, text: str, *, join: Join, **labels: Iterable[str]) -> Gauge:
        self.joins[f"leaderboard_{name}"] = join
        return _started(Gauge(f"leaderboard_{name}", text, list(labels), registry=self.registry), labels)

    def _histogram(self, name: str, text: str, **labels: Iterable[str]) -> Histogram:
        found = Histogram(f"leaderboard_{name}", text, list(labels), buckets=FAST, registry=self.registry)
        return _started(found, labels)


class Exemplary:
    """A histogram with the request's id beside what is worth a look: whatever was slow, and else one each second.

    An exemplar costs as much as some observations, and each bucket shows but the newest.
    """

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._last = float("-inf")

    def observe(self, seconds: float, request: str) -> None:
        """Observe what `request` took."""
        now = time.monotonic()
        if seconds < SLOW and now - self._last < EXEMPLAR_EVERY:
            self._histogram.observe(seconds)
            return
        self._last = now
        self._histogram.observe(seconds, {"request_id": request})


def _started(metric: M, labels: dict[str, Iterable[str]]) -> M:
    """The metric, with the series of all label values that are known."""
    for values in product(*labels.values()) if labels else ():
        metric.labels(*values)
    return metric


def known(value: str, values: Iterable[str]) -> str:
    """`value` where it is one of those that a label has, else OTHER."""
    return value if value in values else OTHER
