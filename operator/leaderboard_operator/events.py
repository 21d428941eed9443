"""Kubernetes Events about changed conditions, which `kubectl describe` shows."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from uuid import uuid4

from leaderboard_operator import MANAGER, Object
from leaderboard_operator.cluster import ApiError, Cluster, Collection, Unreachable, terminating

log = logging.getLogger(__name__)


_PROBLEM_STATUS = {"SecretsReady": "False", "DatabaseReady": "False", "Degraded": "True"}
"""The status of each condition that reports a problem."""


def transitions(before: list[Object], after: list[Object]) -> list[tuple[str, str, str]]:
    """Type, reason and message of the Events for new problems and for becoming ready."""
    previous = {row["type"]: (row["status"], row["reason"]) for row in before}
    events = []
    for row in after:
        if previous.get(row["type"]) == (row["status"], row["reason"]):
            continue
        if row["type"] == "Ready" and row["status"] == "True":
            events.append(("Normal", row["reason"], row["message"]))
        elif row["status"] == _PROBLEM_STATUS.get(row["type"]):
            events.append(("Warning", row["reason"], row["message"]))
    return list(dict.fromkeys(events))


async def post(cluster: Cluster, leaderboard: Object, type_: str, reason: str, message: str) -> None:
    """Create an Event about a Leaderboard. A failure is logged, not retried."""
    meta = leaderboard["metadata"]
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{meta['name']}.{uuid4().hex[:16]}", "namespace": meta["namespace"]},
        "involvedObject": {
            "apiVersion": leaderboard["apiVersion"],
            "kind": leaderboard["kind"],
            "namespace": meta["namespace"],
            "name": meta["name"],
            "uid": meta["uid"],
        },
        "type": type_,
        "reason": reason,
        "message": message[:1024],
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }
    try:
        await _create(cluster, event)
    except (ApiError, Unreachable) as error:
        log.warning("event not created: %s", error)


async def _create(cluster: Cluster, event: Object) -> None:
    """Create an Event. A terminating namespace accepts no objects: the Event is then about it, in `default`."""
    namespace = event["metadata"]["namespace"]
    try:
        await cluster.create(Collection("v1", "events", namespace)(), event)
    except ApiError as error:
        if not terminating(error):
            raise
        regarding = {"apiVersion": "v1", "kind": "Namespace", "name": namespace}
        meta = {**event["metadata"], "namespace": "default"}
        message = f"Leaderboard {event['involvedObject']['name']}: {event['message']}"[:1024]
        moved = {**event, "metadata": meta, "involvedObject": regarding, "message": message}
        await cluster.create(Collection("v1", "events", "default")(), moved)
