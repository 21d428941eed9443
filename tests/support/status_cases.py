"""Deployments, pods and observed states with the status that the operator reports for them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from leaderboard_operator.conditions import Explanation, Problem
from leaderboard_operator.pods import CREATION_GRACE, PULL_GRACE, SCHEDULING_GRACE, UNREADY_GRACE
from leaderboard_operator.status import Observed
from tests.support.leaderboard_views import view
from tests.support.leaderboards import spec
from tornado_app.mongo.client import preflight

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MISSING = Problem("SecretMissing", "The Secret 'arcade-mongo' does not exist")


def deployment(replicas=2, existing=2, updated=2, ready=2, generation=1, observed_generation=1, **conditions):
    return {
        "metadata": {"generation": generation},
        "spec": {"replicas": replicas},
        "status": {
            "observedGeneration": observed_generation,
            "replicas": existing,
            "updatedReplicas": updated,
            "readyReplicas": ready,
            "conditions": [{"type": type_, **fields} for type_, fields in conditions.items()],
        },
    }


def pod(ready="False", since=NOW, **container):
    condition = {"type": "Ready", "status": ready, "lastTransitionTime": since.strftime("%Y-%m-%dT%H:%M:%SZ")}
    statuses = [{"image": "leaderboard-app:1.2.0", "state": {}, **container}]
    return {"metadata": {"name": "p"}, "status": {"conditions": [condition], "containerStatuses": statuses}}


def stamp(time):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def started(pod, before, seconds=0):
    """The pod with a start time this long before NOW."""
    pod["status"]["startTime"] = stamp(NOW - before - timedelta(seconds=seconds))
    return pod


def unschedulable(**fields):
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: cpu"}
    return {"metadata": {"name": "p"}, "status": {"conditions": [{**condition, **fields}]}}


def waiting(reason):
    return pod(state={"waiting": {"reason": reason, "message": "back-off"}})


def crashed(message, **fields):
    return pod(lastState={"terminated": {"exitCode": 1, "message": message, **fields}})


def looping(message):
    """A pod in CrashLoopBackOff."""
    terminated = {"terminated": {"exitCode": 139, "message": message}}
    return pod(name="leaderboard", state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState=terminated)


UNSCHEDULABLE = unschedulable(lastTransitionTime=stamp(NOW - SCHEDULING_GRACE))
UNSCHEDULABLE_IN_GRACE = unschedulable(lastTransitionTime=stamp(NOW - SCHEDULING_GRACE + timedelta(seconds=1)))
STANDALONE = crashed(f'{{"level": "info"}}\nerror: {preflight._STANDALONE}\n')
QUOTA = {"status": "True", "message": 'pods "a" is forbidden: exceeded quota: small'}
DOWN = {"existing": 2, "updated": 2, "ready": 0}
DATABASE_LOST = pod(since=NOW - UNREADY_GRACE, started=True, state={"running": {}})
UNREADY_IN_GRACE = pod(since=NOW - UNREADY_GRACE + timedelta(seconds=1), started=True, state={"running": {}})

JUST_STARTED = pod(
    since=NOW - timedelta(minutes=5), started=True, state={"running": {"startedAt": stamp(NOW - timedelta(seconds=1))}}
)


def unready(since, started):
    """A running pod that is not ready. Both times are before NOW: of the change of Ready, and of its start."""
    return pod(since=NOW - since, started=True, state={"running": {"startedAt": stamp(NOW - started)}})


def observed(**fields):
    return Observed(**{"leaderboard": view(), "generation": 3, "now": NOW, **fields})


STATUS_CASES = {
    # observed: (Ready, Reconciling, Stalled, Available, DatabaseReady, SecretsReady, Degraded), reason of Ready
    "new": ({}, "FTFFUTF", "Starting"),
    "ready": ({"deployment": deployment()}, "TFFTTTF", "Serving"),
    "one of two pods ready": ({"deployment": deployment(ready=1)}, "TTFTTTF", "Serving"),
    "rollout": ({"deployment": deployment(existing=3, updated=1, ready=2)}, "TTFTTTF", "Serving"),
    "rollout not observed": ({"deployment": deployment(generation=2)}, "TTFTTTF", "Serving"),
    "deletion": ({"deletion": Explanation("PodsEnding", "soon"), "deployment": deployment()}, "FTFTTTF", "PodsEnding"),
    "paused deletion": (
        {
            "leaderboard": view(spec(paused=True)),
            "deletion": Explanation("PausedDeletion", "paused"),
            "deployment": deployment(),
        },
        "TFFTTTF",
        "Serving",
    ),
    "image pull fails, in grace period": (
        {"deployment": deployment(**DOWN), "pods": [started(waiting("ErrImagePull"), PULL_GRACE, -1)]},
        "FTFFUTF",
        "Starting",
    ),
    "image pull fails": (
        {"deployment": deployment(**DOWN), "pods": [started(waiting("ErrImagePull"), PULL_GRACE)]},
        "FFTFUTT",
        "ImageNotPulled",
    ),
    "unschedulable, in grace period": (
        {"deployment": deployment(**DOWN), "pods": [UNSCHEDULABLE_IN_GRACE]},
        "FTFFUTF",
        "Starting",
    ),
    "just started after a long pull": (
        {"deployment": deployment(**DOWN), "pods": [JUST_STARTED]},
        "FTFFUTF",
        "Starting",
    ),
    "scaled to zero with autoscaler": (
        {"leaderboard": view(spec(replicas=0, autoscaling={"maxReplicas": 5})), "deployment": deployment(0, 0, 0, 0)},
        "FFFFUTF",
        "ScaledToZero",
    ),
    "scaled to zero": (
        {"leaderboard": view(spec(replicas=0)), "deployment": deployment(0, 0, 0, 0)},
        "FFFFUTF",
        "ScaledToZero",
    ),
    "paused": ({"leaderboard": view(spec(paused=True)), "deployment": deployment(generation=2)}, "TFFTTTF", "Serving"),
    "secret missing at start": ({"secrets": (MISSING,)}, "FFTFUFT", "SecretMissing"),
    "secret deleted": ({"secrets": (MISSING,), "deployment": deployment()}, "FFTTTFT", "SecretMissing"),
    "database in use": (
        {
            "deployment": deployment(**DOWN),
            "pods": [crashed("error: database 'a' belongs to games/a, and not to b/b. Use another database, or take")],
        },
        "FFTFFTT",
        "DatabaseInUse",
    ),
    "owned object refused": (
        {"refusals": (Problem("Invalid", "no"),), "deployment": deployment()},
        "FFTTTTT",
        "Invalid",
    ),
    "image pull backs off": (
        {"deployment": deployment(**DOWN), "pods": [waiting("ImagePullBackOff")]},
        "FFTFUTT",
        "ImageNotPulled",
    ),
    "image pull of a rollout fails": (
        {"deployment": deployment(existing=3, updated=1), "pods": [waiting("ErrImagePull")]},
        "FFTTTTT",
        "ImageNotPulled",
    ),
    "one of two settled pods fails": (
        {"deployment": deployment(ready=1), "pods": [crashed("error: x")]},
        "TTFTTTT",
        "Serving",
    ),
    "container config error": (
        {"deployment": deployment(**DOWN), "pods": [waiting("CreateContainerConfigError")]},
        "FFTFUTT",
        "ContainerNotStarted",
    ),
    "volume missing": (
        {"deployment": deployment(**DOWN), "pods": [started(waiting("ContainerCreating"), CREATION_GRACE)]},
        "FFTFUTT",
        "ContainerNotStarted",
    ),
    "volume missing, in grace period": (
        {"deployment": deployment(**DOWN), "pods": [started(waiting("ContainerCreating"), CREATION_GRACE, -1)]},
        "FTFFUTF",
        "Starting",
    ),
    "standalone MongoDB": ({"deployment": deployment(**DOWN), "pods": [STANDALONE]}, "FFTFFTT", "Standalone"),
    "password of a rollout refused": (
        {
            "deployment": deployment(existing=3, updated=1),
            "pods": [crashed("error: MongoDB refuses the user or password of mongodb_uri; check them")],
        },
        "FFTTFTT",
        "AccessDenied",
    ),
    "invalid key": (
        {"deployment": deployment(**DOWN), "pods": [crashed("error: jwt_key_file: too short\nerror: b: c")]},
        "FFTFUTT",
        "StartupFailed",
    ),
    "crash without error": (
        {"deployment": deployment(**DOWN), "pods": [looping("Segmentation fault")]},
        "FFTFUTT",
        "Crashing",
    ),
    "crash with error": (
        {"deployment": deployment(**DOWN), "pods": [looping("error: jwt_key_file: too short")]},
        "FFTFUTT",
        "StartupFailed",
    ),
    "out of memory": (
        {"deployment": deployment(**DOWN), "pods": [crashed("", reason="OOMKilled")]},
        "FFTFUTT",
        "OutOfMemory",
    ),
    "database lost": ({"deployment": deployment(**DOWN), "pods": [DATABASE_LOST]}, "FFTFFTT", "NotAnswering"),
    "unready, in grace period": ({"deployment": deployment(**DOWN), "pods": [UNREADY_IN_GRACE]}, "FTFFUTF", "Starting"),
    "unschedulable": ({"deployment": deployment(**DOWN), "pods": [UNSCHEDULABLE]}, "FFTFUTT", "Unschedulable"),
    "quota exceeded": (
        {"deployment": deployment(existing=0, updated=0, ready=0, ReplicaFailure=QUOTA)},
        "FFTFUTT",
        "QuotaExceeded",
    ),
    "pods refused by policy": (
        {"deployment": deployment(existing=0, updated=0, ready=0, ReplicaFailure={"status": "True"})},
        "FFTFUTT",
        "PodsRefused",
    ),
    "progress deadline exceeded": (
        {"deployment": deployment(**DOWN, Progressing={"status": "False", "reason": "ProgressDeadlineExceeded"})},
        "FFTFUTT",
        "ProgressDeadlineExceeded",
    ),
}
