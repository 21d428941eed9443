"""What the pods of a Leaderboard tell: how many serve, and what keeps the others from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from leaderboard_operator.conditions import Trouble

Object = dict[str, Any]

PATIENCE = timedelta(seconds=15)
"""How long a pod that has started may be unready before its database is suspected: two readiness probes and more."""

_NOT_PULLED = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_NOT_STARTED = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})

_ERROR = re.compile(r"^error: (.*)$", re.MULTILINE)
"""How the service ends that cannot start: one line for each fault."""

_DATABASE_FAULTS = {
    r"standalone server": "Standalone",
    r"replica set is not initiated": "NotInitiated",
    r"leads to a secondary": "NotPrimary",
    r"refuses the user or password|asks for a user and a password|may not use database": "AccessDenied",
    r"is too old": "TooOld",
    r"MongoDB cannot be reached": "Unreachable",
    r"mongodb_uri": "InvalidConnectionString",
    r"MongoDB|database|the board": "Refused",
}
"""The reason, by a piece of what the service says; the first that fits. A test holds them against its sentences."""

DATABASE_REASONS = frozenset({*_DATABASE_FAULTS.values(), "NotAnswering"})


def trouble(pods: list[Object], now: datetime) -> Trouble | None:
    """What keeps a pod from serving: the first cause of those that are neither ready nor on their way out."""
    for pod in pods:
        if _condition(pod, "Ready").get("status") != "True" and not pod["metadata"].get("deletionTimestamp"):
            for found in _troubles(pod, now):
                return found
    return None


def database_trouble(pods: list[Object], now: datetime) -> Trouble | None:
    """The same, as far as it is about the database."""
    found = trouble(pods, now)
    return found if found is not None and found.reason in DATABASE_REASONS else None


def _condition(pod: Object, type_: str) -> Object:
    conditions: list[Object] = pod.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == type_), {})


def _troubles(pod: Object, now: datetime) -> Iterator[Trouble]:
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("reason") == "Unschedulable":
        yield Trouble("Unschedulable", f"No node takes the pods: {scheduled.get('message', '')}")
    for container in pod.get("status", {}).get("containerStatuses", []):
        yield from _waiting(container)
        yield from _ended(container)
        yield from _silent(pod, container, now)


def _waiting(container: Object) -> Iterator[Trouble]:
    waiting = container.get("state", {}).get("waiting", {})
    reason, said = waiting.get("reason"), waiting.get("message", "")
    if reason in _NOT_PULLED:
        yield Trouble(
            "ImageNotPulled",
            f"The image {container.get('image')} cannot be pulled ({reason}: {said}). Check spec.image and "
            "spec.imagePullSecrets",
        )
    elif reason in _NOT_STARTED:
        yield Trouble("ContainerNotStarted", f"The container cannot be started ({reason}): {said}")


def _ended(container: Object) -> Iterator[Trouble]:
    for state in (container.get("state", {}), container.get("lastState", {})):
        ended = state.get("terminated")
        if ended is None:
            continue
        if ended.get("reason") == "OOMKilled":
            remedy = "Raise spec.template.spec.resources.limits.memory"
            yield Trouble("OutOfMemory", f"A pod used more memory than it may. {remedy}")
        faults = _ERROR.findall(ended.get("message") or "")
        if faults:
            yield _fault("; ".join(faults))


def _fault(text: str) -> Trouble:
    reason = next((reason for sign, reason in _DATABASE_FAULTS.items() if re.search(sign, text)), "StartupFailed")
    return Trouble(reason, f"The service cannot start: {text}")


def _silent(pod: Object, container: Object, now: datetime) -> Iterator[Trouble]:
    """A service that has started has read its database; if it is not ready later, it has lost it."""
    since = _condition(pod, "Ready").get("lastTransitionTime")
    runs = container.get("started") and "running" in container.get("state", {})
    if runs and since and now - datetime.fromisoformat(since) >= PATIENCE:
        yield Trouble(
            "NotAnswering",
            "The service runs, but its database does not answer or is far behind. Look at MongoDB, and at /readyz of a "
            "pod, which says why it is not ready",
        )
