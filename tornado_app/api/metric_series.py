"""The label values that the API knows, so that their series are there before anything is counted."""

from __future__ import annotations

from collections.abc import Iterable

from tornado_app.api.frontends.base import Frontend
from tornado_app.api.openapi import sockets
from tornado_app.api.rest.operations import SCORE, Errors
from tornado_app.core.abuse import AbuseRule
from tornado_app.core.errors import PlayerNotFound
from tornado_app.http.messages import Route
from tornado_app.observability.metrics import Metrics

_REFUSED: Errors = (*SCORE, PlayerNotFound)

RESULTS = ("accepted", "replayed", *sorted({kind.code for kind in _REFUSED}))
"""What becomes of a score update."""

REFUSALS = sorted({kind.code for kind in sockets.REFUSALS})
"""Why a socket is closed."""

CODES = ("200", "500", "503")
"""The answers that objectives look at; the others have a series once there is one."""


def initialise(metrics: Metrics, frontends: Iterable[Frontend], routes: Iterable[Route]) -> None:
    """Make the series."""
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
