"""Every metric of the service, declared once. Never a player id as a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from tornado_app import __version__

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nobody asks for

Join: TypeAlias = Literal["sum", "max", "min"]
"""What a scrape makes of a metric that several processes have; counters and histograms are added up."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """The service's metrics on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.joins: dict[str, Join] = {}
        self.labels: dict[str, tuple[str, ...]] = {}
        self.http_requests = self._counter("http_requests", "HTTP requests answered.", "method", "route", "code")
        self.http_duration = self._histogram(
            "http_request_duration_seconds", "Time from a request's headers to its answer.", "method", "route"
        )
        self.submissions = self._counter(
            "score_submissions", "Score updates by front end and result: accepted, replayed or an error code.",
            "face", "result",
        )  # fmt: skip
        self.points = self._counter("score_points", "Points added by accepted score updates.", "face")
        self.sockets = self._gauge("websocket_connections", "Open WebSockets.", "face", join="sum")
        self.socket_messages = self._counter("websocket_messages", "Messages handed to WebSockets.", "face")
        self.evictions = self._counter("websocket_evictions", "WebSockets that the service closed.", "reason")
        self.propagation = self._histogram(
            "update_propagation_seconds", "Time from a committed change of the top 10 to its last send."
        )
        self.feed_lag = self._gauge(
            "change_stream_lag_seconds", "Time since the change stream's last sign of life.", join="max"
        )
        self.feed_restarts = self._counter("change_stream_restarts", "Change streams opened again.", "reason")
        self.commands = self._histogram(
            "mongodb_command_duration_seconds",
            "Time of a command to MongoDB; getMore waits for news.",
            "command",
        )
        self.commit_size = self._histogram("group_commit_size", "Score updates in one flush.", buckets=SIZES)
        self.ready = self._gauge(
            "ready", "1 where traffic should come, as /readyz says; of several processes: to each.", join="min"
        )
        self.loop_lag = self._gauge(
            "event_loop_lag_seconds", "How late a timer of the event loop was, at worst.", join="max"
        )
        self.ranked = self._gauge("ranked_players", "Players on the board.", join="max")
        self.rank_checks = self._counter(
            "rank_checks", "Ranks in memory compared with the database: agreed, or differed and read anew.", "result"
        )
        self.suspicious = self._counter("suspicious", "Submissions that a rule held suspicious.", "rule")
        self.jwks_refreshes = self._counter(
            "jwks_refreshes", "Fetches of the identity provider's keys: changed, unchanged or failed.", "result"
        )
        self.jwks_age = self._gauge(
            "jwks_age_seconds",
            "Time since the identity provider last gave its keys; infinite where it never did.",
            join="max",
        )
        self.ledger_entries = self._counter(
            "ledger_entries", "Ledger entries by kind; foreign and reconciled: nobody vouches for them.",
            "kind",
        )  # fmt: skip
        self.ledger_lag = self._gauge(
            "ledger_lag_seconds",
            "How long the ledger has been behind the players, or written by nobody.",
            join="max",
        )
        self.ledger_writer = self._gauge("ledger_writer", "1 in the process that writes the ledger.", join="sum")
        self.processes = self._gauge("processes", "Processes that serve.", join="sum")
        self.restarts = self._counter("process_restarts", "Processes that ended and were started again.")
        self._gauge("build_info", "1, with the version.", "version", join="max").labels(__version__).set(1)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(self._named(name, labels), text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str, join: Join) -> Gauge:
        self.joins[f"leaderboard_{name}"] = join
        return Gauge(self._named(name, labels), text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str, buckets: Sequence[float] = SECONDS) -> Histogram:
        return Histogram(self._named(name, labels), text, labels, buckets=buckets, registry=self.registry)

    def _named(self, name: str, labels: tuple[str, ...]) -> str:
        self.labels[f"leaderboard_{name}"] = labels
        return f"leaderboard_{name}"
