"""The series that are there from the start, at 0: `rate()` and `increase()` miss what happened before the first scrape.

So the first refusal, eviction or 500 counts like the second. All label values are known: none comes from outside.
"""

from __future__ import annotations

from collections.abc import Iterable

from tornado_app.api.faces import FACES
from tornado_app.api.http import Route
from tornado_app.core import errors
from tornado_app.core.errors import LeaderboardError
from tornado_app.core.ledger import EntryKind
from tornado_app.core.suspicion import Rule
from tornado_app.live.hub import STALLED
from tornado_app.mongo.commands import COMMANDS, OTHER
from tornado_app.mongo.feed import RESTARTS
from tornado_app.observability.metrics import Metrics

REFUSALS = sorted({
    kind.code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LeaderboardError)
})  # fmt: skip
"""What a score update can be refused for, but for what is wrong with its HTTP."""


def begin(metrics: Metrics) -> None:
    """Have the series of every known label value."""
    for face in FACES:
        metrics.points.labels(face.name)
        for result in ("accepted", "replayed", *REFUSALS):
            metrics.submissions.labels(face.name, result)
        for _, channel in face.sockets:
            metrics.sockets.labels(channel.name)
            metrics.socket_messages.labels(channel.name)
    for series, values in (
        (metrics.evictions, (STALLED,)),
        (metrics.commands, (*COMMANDS, OTHER)),
        (metrics.feed_restarts, RESTARTS),
        (metrics.rank_checks, ("agreed", "differed")),
        (metrics.suspicious, Rule),
        (metrics.ledger_entries, EntryKind),
    ):
        for value in values:
            series.labels(value)


def begin_routes(metrics: Metrics, routes: Iterable[Route]) -> None:
    """Have the series of every route's failures; those of its other answers come with the first."""
    for route in routes:
        for method in route.methods:
            metrics.http_requests.labels(method, route.path, 500)
