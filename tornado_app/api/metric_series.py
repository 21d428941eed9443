"""Initialises the series of the API's metrics, so that they exist before their first event."""

from __future__ import annotations

from collections.abc import Iterable

from tornado_app.api.frontends.base import Frontend
from tornado_app.api.openapi.document import SOCKET_REFUSALS
from tornado_app.api.rest.operations import SCORE, Errors
from tornado_app.core.abuse import AbuseRule
from tornado_app.core.errors import PlayerNotFound
from tornado_app.http.messages import Route
from tornado_app.observability.metrics import Metrics

_REFUSED: Errors = (*SCORE, PlayerNotFound)

RESULTS = ("accepted", "replayed", *sorted({kind.code for kind in _REFUSED}))
"""The results of score updates."""

REFUSALS = sorted({kind.code for kind in SOCKET_REFUSALS})
"""The errors that close a WebSocket."""

CODES = ("200", "500", "503")
"""The status codes that objectives use; a series of another code begins with its first response."""


def initialise(metrics: Metrics, frontends: Iterable[Frontend], routes: Iterable[Route]) -> None:
    for frontend in frontends:
        metrics.points.labels(frontend.name)
        for result in RESULTS:
            metrics.submissions.labels(frontend.name, result)
        for _, channel in frontend.sockets:
            for metric in (metrics.sockets, metrics.sockets_opened, metrics.socket_messages):
                metric.labels(channel.name)
    for reason in REFUSALS:
        metrics.socket_refusals.labels(reason)
    for rule in AbuseRule:
        metrics.abuse_reports.labels(rule)
    for route in routes:
        for method in route.methods:
            metrics.http_duration.labels(method, route.path)
            for code in CODES:
                metrics.http_requests.labels(method, route.path, code)
