"""What the pods of a Leaderboard tell: how many serve, and what keeps the others from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from leaderboard_operator.conditions import Trouble, condition

Object = dict[str, Any]

PATIENCE = timedelta(seconds=15)
"""How long a pod that was ready may be unready before its database is suspected; its probe has waited for 30 s."""

START_GRACE = timedelta(seconds=120)
"""How long a pod that has never been ready since it started may take: it reads the board, or waits for an index."""

PULL_GRACE = timedelta(seconds=60)
"""How long after a pod's start a failed pull of its image is no trouble yet: registries fail for moments."""

CREATION_GRACE = timedelta(seconds=180)
"""How long after a pod's start its container may be waited for: a large image is pulled meanwhile, volumes mounted."""

SCHEDULING_GRACE = timedelta(seconds=90)
"""How long a pod may find no node before that is trouble: a cluster autoscaler takes about a minute for a new one."""

_NOT_PULLED = frozenset({"ErrImagePull", "ImagePullBackOff"})
_NEVER_PULLED = frozenset({"InvalidImageName", "ErrImageNeverPull"})
_NOT_STARTED = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})

_ERROR = re.compile(r"^error: (.*)$", re.MULTILINE)
"""How the service ends that cannot start: one line for each fault."""

_DATABASE_FAULTS = {
    r"belongs to \S+, and not to": "DatabaseInUse",
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


class Sign(NamedTuple):
    """A trouble, and the time from which it counts; None is at once."""

    trouble: Trouble
    due: datetime | None = None


def trouble(pods: list[Object], now: datetime) -> Trouble | None:
    """What keeps a pod from serving: the first cause of those that are neither ready nor on their way out."""
    return next((each.trouble for each in _signs(pods) if each.due is None or each.due <= now), None)


def grace_left(pods: list[Object], now: datetime) -> timedelta | None:
    """The time until the next sign of trouble counts; None where there is none that does not count yet."""
    return min((each.due - now for each in _signs(pods) if each.due is not None and each.due > now), default=None)


def _signs(pods: list[Object]) -> Iterator[Sign]:
    for pod in pods:
        if condition(pod, "Ready").get("status") != "True" and not pod["metadata"].get("deletionTimestamp"):
            yield from _troubles(pod)


def outcome(pods: list[Object], name: str) -> tuple[int | None, str]:
    """How a container of a Job's pod ended: its exit code and what it said; None where it has not.

    The others do not count: the proxy that a service mesh adds may run on, and so may the pod and the Job.
    """
    for pod in pods:
        for container in pod.get("status", {}).get("containerStatuses", []):
            ended = container.get("state", {}).get("terminated")
            if ended is not None and container["name"] == name:
                return ended["exitCode"], "; ".join(_ERROR.findall(ended.get("message") or ""))
    return None, ""


def database_trouble(pods: list[Object], now: datetime) -> Trouble | None:
    """The same, as far as it is about the database."""
    found = trouble(pods, now)
    return found if found is not None and found.reason in DATABASE_REASONS else None


def _troubles(pod: Object) -> Iterator[Sign]:
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("reason") == "Unschedulable":
        text = f"No node takes the pods: {scheduled.get('message', '')}"
        yield Sign(Trouble("Unschedulable", text), _after(SCHEDULING_GRACE, scheduled.get("lastTransitionTime")))
    for container in pod.get("status", {}).get("containerStatuses", []):
        yield from _waiting(pod, container)
        yield from (Sign(each) for each in _ended(container))
        yield from _silent(pod, container)
        yield from _crashing(container)


def _after(grace: timedelta, *since: str | None) -> datetime | None:
    """The end of a grace that began with the latest of some times, as Kubernetes writes them."""
    known = [datetime.fromisoformat(each) for each in since if each]
    return max(known) + grace if known else None


def _waiting(pod: Object, container: Object) -> Iterator[Sign]:
    waiting = container.get("state", {}).get("waiting", {})
    reason, said = waiting.get("reason"), waiting.get("message", "")
    if reason in _NOT_PULLED | _NEVER_PULLED:
        text = (
            f"The image {container.get('image')} cannot be pulled ({reason}: {said}). Check spec.image and "
            "spec.imagePullSecrets"
        )
        due = _after(PULL_GRACE, pod["status"].get("startTime")) if reason in _NOT_PULLED else None
        yield Sign(Trouble("ImageNotPulled", text), due)
    elif reason == "ContainerCreating":
        text = (
            "The container is not there yet. A volume whose Secret, ConfigMap or claim is missing, or a very large "
            "image, may be why; `kubectl describe pod` says it"
        )
        due = _after(CREATION_GRACE, pod["status"].get("startTime"))
        if due is not None:
            yield Sign(Trouble("ContainerNotStarted", text), due)
    elif reason in _NOT_STARTED:
        yield Sign(Trouble("ContainerNotStarted", f"The container cannot be started ({reason}): {said}"))


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


def _crashing(container: Object) -> Iterator[Sign]:
    """A container that ends again and again; comes after `_ended`, which knows more where it said why."""
    if container.get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff":
        ended = container.get("lastState", {}).get("terminated", {})
        text = (
            f"The container {container['name']} ends again and again, with exit code {ended.get('exitCode')}. "
            "`kubectl logs --previous` of the pod may say why"
        )
        yield Sign(Trouble("Crashing", text))


def _fault(text: str) -> Trouble:
    reason = next((reason for sign, reason in _DATABASE_FAULTS.items() if re.search(sign, text)), "StartupFailed")
    remedy = " (spec.database.takeOverFrom)" if "database_previous_owner" in text else ""
    return Trouble(reason, f"The service cannot start: {text}{remedy}")


def _silent(pod: Object, container: Object) -> Iterator[Sign]:
    """A service that was ready and is no longer has lost its database; one that never was may be slow to start."""
    running = container.get("state", {}).get("running")
    since = condition(pod, "Ready").get("lastTransitionTime")
    if container.get("started") and running is not None and since:
        text = (
            "The service runs, but its database does not answer or is far behind. Look at MongoDB, and at /readyz of a "
            "pod, which says why it is not ready"
        )
        started = running.get("startedAt")
        starting = started is not None and datetime.fromisoformat(since) <= datetime.fromisoformat(started)
        yield Sign(Trouble("NotAnswering", text), _after(START_GRACE if starting else PATIENCE, since, started))
