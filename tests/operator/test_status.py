"""The status from what was observed, as a table; and what the operator makes of the service's own sentences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pymongo.errors import OperationFailure, ServerSelectionTimeoutError

from leaderboard_operator import VERSION
from leaderboard_operator.conditions import MAX_MESSAGE_LENGTH, Problem
from leaderboard_operator.pods import CREATION_GRACE, PULL_GRACE, SCHEDULING_GRACE, UNREADY_GRACE, grace_left, problem
from leaderboard_operator.status import Observed, failed_status, rollout_ended, status, version
from tests.operator.boards import spec
from tests.operator.samples import board
from tornado_app.core.model import Owner
from tornado_app.mongo.client import preflight
from tornado_app.mongo.ownership import _foreign

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MISSING = Problem("SecretMissing", "The Secret 'arcade-mongo' does not exist")


def deployment(replicas=2, there=2, updated=2, ready=2, generation=1, observed=1, **conditions):
    return {
        "metadata": {"generation": generation},
        "spec": {"replicas": replicas},
        "status": {
            "observedGeneration": observed,
            "replicas": there,
            "updatedReplicas": updated,
            "readyReplicas": ready,
            "conditions": [{"type": type_, **rest} for type_, rest in conditions.items()],
        },
    }


def pod(ready="False", since=NOW, **container):
    condition = {"type": "Ready", "status": ready, "lastTransitionTime": since.strftime("%Y-%m-%dT%H:%M:%SZ")}
    statuses = [{"image": "leaderboard-app:1.2.0", "state": {}, **container}]
    return {"metadata": {"name": "p"}, "status": {"conditions": [condition], "containerStatuses": statuses}}


def stamp(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def started(pod, before, seconds=0):
    """The pod, of which the kubelet heard so long ago, and some seconds longer."""
    pod["status"]["startTime"] = stamp(NOW - before - timedelta(seconds=seconds))
    return pod


def unschedulable(**rest):
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: cpu"}
    return {"metadata": {"name": "p"}, "status": {"conditions": [{**condition, **rest}]}}


def waiting(reason):
    return pod(state={"waiting": {"reason": reason, "message": "back-off"}})


def crashed(said, **rest):
    return pod(lastState={"terminated": {"exitCode": 1, "message": said, **rest}})


def looping(said):
    """A pod whose container the kubelet starts later and later."""
    ended = {"terminated": {"exitCode": 139, "message": said}}
    return pod(name="leaderboard", state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState=ended)


UNSCHEDULABLE = unschedulable(lastTransitionTime=stamp(NOW - SCHEDULING_GRACE))
NO_NODE_YET = unschedulable(lastTransitionTime=stamp(NOW - SCHEDULING_GRACE + timedelta(seconds=1)))
STANDALONE = crashed(f'{{"level": "info"}}\nerror: {preflight._STANDALONE}\n')
QUOTA = {"status": "True", "message": 'pods "a" is forbidden: exceeded quota: small'}
DOWN = {"there": 2, "updated": 2, "ready": 0}
LOST = pod(since=NOW - UNREADY_GRACE, started=True, state={"running": {}})
FRESH = pod(since=NOW - UNREADY_GRACE + timedelta(seconds=1), started=True, state={"running": {}})

JUST_STARTED = pod(
    since=NOW - timedelta(minutes=5), started=True, state={"running": {"startedAt": stamp(NOW - timedelta(seconds=1))}}
)


def unready(since: timedelta, started: timedelta):
    """A pod that runs, and is not ready: since when, and when its container started, both before NOW."""
    return pod(since=NOW - since, started=True, state={"running": {"startedAt": stamp(NOW - started)}})


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (unready(timedelta(minutes=5), timedelta(seconds=119)), None),  # never ready: it reads a large board
        (unready(timedelta(minutes=5), timedelta(seconds=120)), "NotAnswering"),
        (unready(timedelta(seconds=14), timedelta(minutes=5)), None),  # was ready
        (unready(timedelta(seconds=15), timedelta(minutes=5)), "NotAnswering"),
    ],
)
def test_slow_start_is_given_longer_than_a_lost_database(found, reason):
    reported = problem([found], NOW)
    assert (reported.reason if reported else None) == reason


def seen(**what):
    return Observed(**{"leaderboard": board(), "generation": 3, "now": NOW, **what})


# fmt: off
TABLE = {
    # what was seen: (Ready, Reconciling, Stalled, Available, DatabaseReady, SecretsReady, Degraded), reason of Ready
    "nothing yet": ({}, "FTFFUTF", "Starting"),
    "all is well": ({"deployment": deployment()}, "TFFTTTF", "Serving"),
    "one of two is ready": ({"deployment": deployment(ready=1)}, "TTFTTTF", "Serving"),
    "a rollout": ({"deployment": deployment(there=3, updated=1, ready=2)}, "TTFTTTF", "Serving"),
    "a rollout that has not begun": ({"deployment": deployment(generation=2)}, "TTFTTTF", "Serving"),
    "a deletion": (
        {"deletion": Problem("PodsEnding", "soon"), "deployment": deployment()}, "FTFTTTF", "PodsEnding"),
    "a paused deletion": (
        {"leaderboard": board(spec(paused=True)), "deletion": Problem("PausedDeletion", "paused"),
         "deployment": deployment()}, "TFFTTTF", "Serving"),
    "an image that is being tried": (
        {"deployment": deployment(**DOWN), "pods": [started(waiting("ErrImagePull"), PULL_GRACE, -1)]},
        "FTFFUTF", "Starting"),
    "an image that was tried for long": (
        {"deployment": deployment(**DOWN), "pods": [started(waiting("ErrImagePull"), PULL_GRACE)]},
        "FFTFUTT", "ImageNotPulled"),
    "no node yet": ({"deployment": deployment(**DOWN), "pods": [NO_NODE_YET]}, "FTFFUTF", "Starting"),
    "an image that took long to pull": (
        {"deployment": deployment(**DOWN), "pods": [JUST_STARTED]}, "FTFFUTF", "Starting"),
    "to nothing with an autoscaler": (
        {"leaderboard": board(spec(replicas=0, autoscaling={"maxReplicas": 5})), "deployment": deployment(0, 0, 0, 0)},
        "FFFFUTF", "ScaledToZero"),
    "to nothing": (
        {"leaderboard": board(spec(replicas=0)), "deployment": deployment(0, 0, 0, 0)}, "FFFFUTF", "ScaledToZero"),
    "paused": ({"leaderboard": board(spec(paused=True)), "deployment": deployment(generation=2)}, "TFFTTTF", "Serving"),
    "no secret": ({"secrets": (MISSING,)}, "FFTFUFT", "SecretMissing"),
    "the secret goes": ({"secrets": (MISSING,), "deployment": deployment()}, "FFTTTFT", "SecretMissing"),
    "a foreign database": (
        {"deployment": deployment(**DOWN),
         "pods": [crashed("error: database 'a' belongs to games/a, and not to b/b. Use another database, or take")]},
        "FFTFFTT", "DatabaseInUse"),
    "a child refused": ({"refusals": (Problem("Invalid", "no"),), "deployment": deployment()}, "FFTTTTT", "Invalid"),
    "no image": (
        {"deployment": deployment(**DOWN), "pods": [waiting("ImagePullBackOff")]}, "FFTFUTT", "ImageNotPulled"),
    "a new image is missing": (
        {"deployment": deployment(there=3, updated=1), "pods": [waiting("ErrImagePull")]}, "FFTTTTT", "ImageNotPulled"),
    "one pod of a settled two fails": (
        {"deployment": deployment(ready=1), "pods": [crashed("error: x")]}, "TTFTTTT", "Serving"),
    "no config": (
        {"deployment": deployment(**DOWN), "pods": [waiting("CreateContainerConfigError")]}, "FFTFUTT",
        "ContainerNotStarted"),
    "no volume": (
        {"deployment": deployment(**DOWN), "pods": [started(waiting("ContainerCreating"), CREATION_GRACE)]}, "FFTFUTT",
        "ContainerNotStarted"),
    "a volume that is being mounted": (
        {"deployment": deployment(**DOWN), "pods": [started(waiting("ContainerCreating"), CREATION_GRACE, -1)]},
        "FTFFUTF", "Starting"),
    "standalone": ({"deployment": deployment(**DOWN), "pods": [STANDALONE]}, "FFTFFTT", "Standalone"),
    "a new password is wrong": (
        {"deployment": deployment(there=3, updated=1),
         "pods": [crashed("error: MongoDB refuses the user or password of mongodb_uri; check them")]},
        "FFTTFTT", "AccessDenied"),
    "a wrong key": (
        {"deployment": deployment(**DOWN), "pods": [crashed("error: jwt_key_file: too short\nerror: b: c")]},
        "FFTFUTT", "StartupFailed"),
    "a crash without a word": (
        {"deployment": deployment(**DOWN), "pods": [looping("Segmentation fault")]}, "FFTFUTT", "Crashing"),
    "a crash with a word": (
        {"deployment": deployment(**DOWN), "pods": [looping("error: jwt_key_file: too short")]}, "FFTFUTT",
        "StartupFailed"),
    "too little memory": (
        {"deployment": deployment(**DOWN), "pods": [crashed("", reason="OOMKilled")]}, "FFTFUTT", "OutOfMemory"),
    "the database goes": ({"deployment": deployment(**DOWN), "pods": [LOST]}, "FFTFFTT", "NotAnswering"),
    "a pod that has just started": ({"deployment": deployment(**DOWN), "pods": [FRESH]}, "FTFFUTF", "Starting"),
    "no node": ({"deployment": deployment(**DOWN), "pods": [UNSCHEDULABLE]}, "FFTFUTT", "Unschedulable"),
    "a quota": ({"deployment": deployment(there=0, updated=0, ready=0, ReplicaFailure=QUOTA)}, "FFTFUTT",
                "QuotaExceeded"),
    "a policy": ({"deployment": deployment(there=0, updated=0, ready=0, ReplicaFailure={"status": "True"})}, "FFTFUTT",
                 "PodsRefused"),
    "too slow": (
        {"deployment": deployment(**DOWN, Progressing={"status": "False", "reason": "ProgressDeadlineExceeded"})},
        "FFTFUTT", "ProgressDeadlineExceeded"),
}
# fmt: on


ELSEWHERE = ("Exposed", "UpdatePending", "AutoscalingActive")
"""Conditions that test_exposure.py, test_rollouts.py and test_autoscaling.py are about."""


@pytest.mark.parametrize("case", TABLE)
def test_the_table(case):
    what, letters, reason = TABLE[case]
    found = status(seen(**what), {})
    assert "".join(each["status"][0] for each in found["conditions"] if each["type"] not in ELSEWHERE) == letters
    assert found["conditions"][0]["reason"] == reason
    assert {each["observedGeneration"] for each in found["conditions"]} == {found["observedGeneration"]} == {3}
    bad = [
        each for each in found["conditions"] if each["type"] in ("Ready", "SecretsReady") and each["status"] == "False"
    ]
    assert all(each["message"] for each in bad)
    statuses = {each["type"]: each["status"] for each in found["conditions"]}
    assert (statuses["Reconciling"], statuses["Stalled"]) != ("True", "True")


def test_leaderboard_that_crashes_after_its_rollout_keeps_no_other_from_theirs():
    assert rollout_ended(seen(deployment=deployment(**DOWN), pods=[looping("Segmentation fault")]))
    assert not rollout_ended(seen(deployment=deployment(there=3, updated=1), pods=[]))


def test_grace_left_is_the_time_until_the_next_trouble():
    assert grace_left([NO_NODE_YET, JUST_STARTED], NOW) == timedelta(seconds=1)
    assert grace_left([UNSCHEDULABLE, LOST], NOW) is None


PERSISTENT = Problem("ReconcileError", "500")


@pytest.mark.parametrize(
    ("before", "letters"),
    [
        (status(seen(deployment=deployment()), {}), "TFFTTTT"),
        (status(seen(deployment=deployment(), generation=2), {}), "FFTTTTT"),
        (status(seen(), {}), "FFTFUTT"),
        ({}, "TFFT"),
    ],
    ids=["serving", "a newer spec", "starting", "never reconciled"],
)
def test_failed_reconcile_is_degraded_and_an_old_ready_does_not_stay(before, letters):
    found = failed_status(PERSISTENT, 3, before, NOW)
    assert "".join(each["status"][0] for each in found["conditions"] if each["type"] not in ELSEWHERE) == letters
    assert found["observedGeneration"] == 3
    degraded = {each["type"]: each for each in found["conditions"]}["Degraded"]
    assert (degraded["reason"], degraded["message"], degraded["observedGeneration"]) == ("ReconcileError", "500", 3)
    assert failed_status(PERSISTENT, 3, found, NOW + timedelta(hours=1)) == found


def test_message_that_cites_a_megabyte_stays_within_the_bound_of_the_crd():
    found = status(seen(secrets=(Problem("KeyMissing", "its keys: " + "k" * 1_000_000),)), {})
    assert max(len(each["message"]) for each in found["conditions"]) == MAX_MESSAGE_LENGTH
    assert failed_status(Problem("ReconcileError", "x" * 50_000), 3, {}, NOW)["conditions"][0]["message"].endswith("x…")


def test_the_counts_are_the_deployments():
    found = status(seen(deployment=deployment(3, 4, 2, 1)), {})
    assert (found["replicas"], found["updatedReplicas"], found["readyReplicas"]) == (4, 2, 1)
    assert found["selector"] == "leaderboard.dev/name=arcade"


def test_a_status_that_stays_keeps_its_time():
    first = status(seen(), {})
    later = NOW + timedelta(minutes=1)
    second = status(seen(deployment=deployment(), now=later), first)
    times = {each["type"]: each["lastTransitionTime"] for each in second["conditions"]}
    assert times["Ready"] == "2026-11-21T12:01:00Z"
    assert times["SecretsReady"] == "2026-11-21T12:00:00Z"
    assert status(seen(deployment=deployment(), now=later + timedelta(hours=1)), second) == second


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (f"leaderboard-app:{VERSION}", VERSION),
        ("host:5000/a/leaderboard:1.2.0@sha256:00", "1.2.0"),
        ("host:5000/leaderboard", "latest"),
        ("host:5000/leaderboard@sha256:0123456789abcdef", "sha256:0123456789ab"),
    ],
)
def test_the_version_is_the_images(image, expected):
    assert version(image) == expected


def refused(code, text="no"):
    return preflight.explain(OperationFailure(text, code), "arcade")


SENTENCES = {
    "Standalone": preflight._STANDALONE,
    "NotInitiated": preflight._NOT_INITIATED,
    "NotPrimary": preflight._SECONDARY,
    "TooOld": "MongoDB 5.0.1 is too old: version 6.0 or newer is needed",
    "DatabaseInUse": str(_foreign("arcade", Owner("a", "b", "c"), Owner("d", "e", "f"))),
    "InvalidConnectionString": "mongodb_uri_file: /etc/leaderboard/secrets/mongodb-uri does not hold a URI",
}


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        *SENTENCES.items(),
        ("AccessDenied", refused(18)),
        ("AccessDenied", refused(13)),
        ("AccessDenied", refused(13, "command requires authentication")),
        ("Refused", refused(1)),
        ("Unreachable", preflight.explain(ServerSelectionTimeoutError("h:1: connection refused"), "arcade")),
        ("NotInitiated", preflight.explain(ServerSelectionTimeoutError("RSGhost"), "arcade")),
    ],
)
def test_the_services_sentences_have_reasons(reason, sentence):
    found = problem([crashed(f"error: {sentence}\n")], NOW)
    assert found.reason == reason
    assert sentence in found.message
