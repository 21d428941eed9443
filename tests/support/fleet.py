"""A fleet of Leaderboards, and what its operator does: requests in the audit log, and metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.support.cluster import Cluster
from tests.support.leaderboards import Leaderboards, leaderboard
from tests.support.operator import Operator
from tests.support.wait import wait_until

BATCH = 50
"""Leaderboards that one kubectl creates within its timeout on a busy machine."""


def requests(cluster: Cluster, mark: int, account: str) -> list[dict[str, Any]]:
    """Requests of operators since the mark, without those for leases, oldest first."""
    return [
        entry
        for entry in cluster.audited(mark)
        if entry["user"]["username"].endswith(account) and entry.get("objectRef", {}).get("resource") != "leases"
    ]


def create_fleet(leaderboards: Leaderboards, count: int, on_poll: Callable[[], None] = lambda: None) -> float:
    """Create `count` Leaderboards at once. Returns the seconds until all are ready; `on_poll` is called meanwhile."""
    resources = [leaderboard(f"leaderboard-{n}") for n in range(count)]
    for resource in resources:
        resource["spec"]["database"]["name"] = resource["metadata"]["name"]
        resource["spec"]["replicas"] = 1
    start = time.monotonic()
    for first in range(0, count, BATCH):
        leaderboards.create(*resources[first : first + BATCH])

    def ready() -> bool:
        on_poll()
        return sum(is_ready(live) for live in leaderboards.list("leaderboard")) == count

    wait_until(ready, 60 + 3 * count, f"{count} Leaderboards ready", pause=1.0)
    return time.monotonic() - start


def is_ready(live: dict[str, Any]) -> bool:
    statuses = {row["type"]: row["status"] for row in live.get("status", {}).get("conditions", [])}
    return (statuses.get("Ready"), statuses.get("Reconciling")) == ("True", "False")


def metric_sum(operator: Operator, name: str) -> float:
    """The sum of all series of a metric."""
    lines = [line for line in (operator.get("/metrics") or "").splitlines() if line.startswith(name)]
    return sum(float(line.rpartition(" ")[2]) for line in lines)
