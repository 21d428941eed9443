"""Problems of the pods of a Leaderboard, from their status."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from leaderboard_operator import Object
from leaderboard_operator.conditions import Problem, condition

UNREADY_GRACE = timedelta(seconds=15)
"""Time for which a started pod may be unready. Its readiness probe has already waited for 30 s."""

START_GRACE = timedelta(seconds=120)
"""Time until a new pod must be ready. It reads the board, or waits for an index."""

PULL_GRACE = timedelta(seconds=60)
"""Time after a pod's start in which a failed pull of its image is not reported: registries fail for moments."""

CREATION_GRACE = timedelta(seconds=180)
"""Time until the container of a pod must exist. The kubelet pulls a large image or mounts volumes."""

SCHEDULING_GRACE = timedelta(seconds=90)
"""Time for which a pod may be unschedulable. A cluster autoscaler needs about a minute for a new node."""

_NOT_PULLED = frozenset({"ErrImagePull", "ImagePullBackOff"})
_NEVER_PULLED = frozenset({"InvalidImageName", "ErrImageNeverPull"})
_NOT_STARTED = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})

_ERROR = re.compile(r"^error: (.*)$", re.MULTILINE)
"""The lines that the service writes if it cannot start, one per error."""

_DATABASE_ERRORS = {
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
"""The reason by a pattern of the service's message; the first match counts. A test compares them with its messages."""

DATABASE_REASONS = frozenset({*_DATABASE_ERRORS.values(), "NotAnswering"})


class PendingProblem(NamedTuple):
    """A problem and the end of its grace period. None: it is reported at once."""

    problem: Problem
    due: datetime | None = None


def problem(pods: list[Object], now: datetime) -> Problem | None:
    """The first problem of pods that are neither ready nor terminating."""
    return next((pending.problem for pending in _all_problems(pods) if pending.due is None or pending.due <= now), None)


def grace_left(pods: list[Object], now: datetime) -> timedelta | None:
    """The time until the next grace period ends; None if there is none."""
    return min((due - now for _, due in _all_problems(pods) if due is not None and due > now), default=None)


def _all_problems(pods: list[Object]) -> Iterator[PendingProblem]:
    for pod in pods:
        if condition(pod, "Ready").get("status") != "True" and not pod["metadata"].get("deletionTimestamp"):
            yield from _pod_problems(pod)


def container_result(pods: list[Object], name: str) -> tuple[int | None, str]:
    """Exit code and error messages of a container of a Job's pod; None while it runs.

    The result does not depend on other containers: the proxy of a service mesh may continue, and with it the pod.
    """
    for pod in pods:
        for container in pod.get("status", {}).get("containerStatuses", []):
            terminated = container.get("state", {}).get("terminated")
            if terminated is not None and container["name"] == name:
                return terminated["exitCode"], "; ".join(_ERROR.findall(terminated.get("message") or ""))
    return None, ""


def database_problem(pods: list[Object], now: datetime) -> Problem | None:
    """The first problem, if it concerns the database."""
    first = problem(pods, now)
    return first if first is not None and first.reason in DATABASE_REASONS else None


def _pod_problems(pod: Object) -> Iterator[PendingProblem]:
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("reason") == "Unschedulable":
        text = f"No node can run the pods: {scheduled.get('message', '')}"
        yield PendingProblem(
            Problem("Unschedulable", text), _after(SCHEDULING_GRACE, scheduled.get("lastTransitionTime"))
        )
    for container in pod.get("status", {}).get("containerStatuses", []):
        yield from _waiting_problems(pod, container)
        yield from (PendingProblem(terminated) for terminated in _termination_problems(container))
        yield from _unready_problems(pod, container)
        yield from _crash_problems(container)


def _after(grace: timedelta, *since: str | None) -> datetime | None:
    """The end of a grace period that began at the latest of these times."""
    known = [datetime.fromisoformat(time) for time in since if time]
    return max(known) + grace if known else None


def _waiting_problems(pod: Object, container: Object) -> Iterator[PendingProblem]:
    waiting = container.get("state", {}).get("waiting", {})
    reason, message = waiting.get("reason"), waiting.get("message", "")
    if reason in _NOT_PULLED | _NEVER_PULLED:
        text = (
            f"The image {container.get('image')} cannot be pulled ({reason}: {message}). Check spec.image and "
            "spec.imagePullSecrets"
        )
        due = _after(PULL_GRACE, pod["status"].get("startTime")) if reason in _NOT_PULLED else None
        yield PendingProblem(Problem("ImageNotPulled", text), due)
    elif reason == "ContainerCreating":
        text = (
            "The container has not been created yet. Possible causes are a volume whose Secret, ConfigMap or claim is "
            "missing, and a very large image. Check `kubectl describe pod`"
        )
        due = _after(CREATION_GRACE, pod["status"].get("startTime"))
        if due is not None:
            yield PendingProblem(Problem("ContainerNotStarted", text), due)
    elif reason in _NOT_STARTED:
        yield PendingProblem(Problem("ContainerNotStarted", f"The container cannot be started ({reason}): {message}"))


def _termination_problems(container: Object) -> Iterator[Problem]:
    for state in (container.get("state", {}), container.get("lastState", {})):
        terminated = state.get("terminated")
        if terminated is None:
            continue
        if terminated.get("reason") == "OOMKilled":
            remedy = "Raise spec.template.spec.resources.limits.memory"
            yield Problem("OutOfMemory", f"A pod was killed because it exceeded its memory limit. {remedy}")
        errors = _ERROR.findall(terminated.get("message") or "")
        if errors:
            yield _startup_problem("; ".join(errors))


def _crash_problems(container: Object) -> Iterator[PendingProblem]:
    """A container that exits repeatedly, reported after `_termination_problems`, which may have the error."""
    if container.get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff":
        terminated = container.get("lastState", {}).get("terminated", {})
        text = (
            f"The container {container['name']} exits repeatedly, with exit code {terminated.get('exitCode')}. Check "
            "`kubectl logs --previous` of the pod"
        )
        yield PendingProblem(Problem("Crashing", text))


def _startup_problem(text: str) -> Problem:
    matches = (reason for pattern, reason in _DATABASE_ERRORS.items() if re.search(pattern, text))
    reason = next(matches, "StartupFailed")
    remedy = " (spec.database.takeOverFrom)" if "database_previous_owner" in text else ""
    return Problem(reason, f"The service cannot start: {text}{remedy}")


def _unready_problems(pod: Object, container: Object) -> Iterator[PendingProblem]:
    """A pod that was ready and is not has lost its database. A pod that was never ready may be slow to start."""
    running = container.get("state", {}).get("running")
    since = condition(pod, "Ready").get("lastTransitionTime")
    if container.get("started") and running is not None and since:
        text = (
            "The service runs, but its database does not answer or is far behind. Check MongoDB, and /readyz of a pod, "
            "which has the reason"
        )
        started = running.get("startedAt")
        starting = started is not None and datetime.fromisoformat(since) <= datetime.fromisoformat(started)
        yield PendingProblem(
            Problem("NotAnswering", text), _after(START_GRACE if starting else UNREADY_GRACE, since, started)
        )
