"""`leaderboard serve` with no-op metrics, to measure the cost of metrics.

All metrics are no-ops except the number of ledger entries, which shows a benchmark that the players are loaded;
commands are not timed. Only the calls remain.
"""

from __future__ import annotations

import sys
from contextlib import AbstractAsyncContextManager
from typing import Any

from prometheus_client.metrics import MetricWrapperBase

from tornado_app.__main__ import main
from tornado_app.mongo.client.driver import Client
from tornado_app.mongo.database import open_database
from tornado_app.observability.metrics import Metrics
from tornado_app.service import service


class Deaf:
    """A metric of any kind."""

    def labels(self, *values: object) -> Deaf:
        """Itself: there are no series."""
        return self

    def inc(self, amount: float = 1) -> None:
        """Ignored."""

    def dec(self, amount: float = 1) -> None:
        """Ignored."""

    def set(self, value: float) -> None:
        """Ignored."""

    def observe(self, amount: float, exemplar: object = None) -> None:
        """Ignored."""

    def clear(self) -> None:
        """Ignored."""

    def set_function(self, value: object) -> None:
        """Ignored."""


class Unmetered(Metrics):
    """Declared as always."""

    def __init__(self) -> None:
        super().__init__()
        for name, metric in list(vars(self).items()):
            if isinstance(metric, MetricWrapperBase) and metric is not self.ledger_entries:
                setattr(self, name, Deaf())

    def command(self, name: str, seconds: float | None) -> None:
        """Ignored."""


def _without_listener(*args: Any, **options: Any) -> AbstractAsyncContextManager[Client]:
    return open_database(*args, **options | {"observe": None})


if __name__ == "__main__":
    vars(service).update(Metrics=Unmetered, open_database=_without_listener)
    sys.exit(main())
