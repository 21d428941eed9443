"""Events: one for each condition that changed, so that `kubectl describe` tells the history."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from leaderboard_operator import MANAGER
from leaderboard_operator.cluster import ApiError, Cluster, Collection, Unreachable, terminating

log = logging.getLogger(__name__)

Object = dict[str, Any]

_TROUBLED = {"SecretsReady": "False", "DatabaseReady": "False", "Degraded": "True"}
"""The conditions that tell of trouble, and the status by which they do."""


def transitions(before: list[Object], after: list[Object]) -> list[tuple[str, str, str]]:
    """Type, reason and message of an Event for each trouble that is new, and for having become ready."""
    known = {each["type"]: (each["status"], each["reason"]) for each in before}
    found = []
    for each in after:
        if known.get(each["type"]) == (each["status"], each["reason"]):
            continue
        if each["type"] == "Ready" and each["status"] == "True":
            found.append(("Normal", each["reason"], each["message"]))
        elif each["status"] == _TROUBLED.get(each["type"]):
            found.append(("Warning", each["reason"], each["message"]))
    return list(dict.fromkeys(found))


async def post(cluster: Cluster, board: Object, type_: str, reason: str, message: str) -> None:
    """Write one Event about a Leaderboard. One that cannot be written is told in the log, and not worth a retry."""
    meta = board["metadata"]
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{meta['name']}.{uuid4().hex[:16]}", "namespace": meta["namespace"]},
        "involvedObject": {
            "apiVersion": board["apiVersion"],
            "kind": board["kind"],
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
        log.warning("an Event was not written: %s", error)


async def _create(cluster: Cluster, event: Object) -> None:
    """Create an Event; in a namespace that is being deleted nothing can be created, so it is about the namespace."""
    namespace = event["metadata"]["namespace"]
    try:
        await cluster.create(Collection("v1", "events", namespace)(), event)
    except ApiError as error:
        if not terminating(error):
            raise
        about = {"apiVersion": "v1", "kind": "Namespace", "name": namespace}
        meta = {**event["metadata"], "namespace": "default"}
        message = f"Leaderboard {event['involvedObject']['name']}: {event['message']}"[:1024]
        moved = {**event, "metadata": meta, "involvedObject": about, "message": message}
        await cluster.create(Collection("v1", "events", "default")(), moved)
