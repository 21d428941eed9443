"""The status from what was observed, as a table; and what the operator makes of the service's own sentences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pymongo.errors import OperationFailure, ServerSelectionTimeoutError

from leaderboard_operator import VERSION
from leaderboard_operator.conditions import Trouble
from leaderboard_operator.pods import PATIENCE, trouble
from leaderboard_operator.status import Observed, status, version
from tests.operator.boards import spec
from tests.operator.samples import board
from tornado_app.mongo import preflight

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MISSING = Trouble("SecretMissing", "The Secret 'arcade-mongo' does not exist")


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


def waiting(reason):
    return pod(state={"waiting": {"reason": reason, "message": "back-off"}})


def crashed(said, **rest):
    return pod(lastState={"terminated": {"exitCode": 1, "message": said, **rest}})


UNSCHEDULABLE = {
    "metadata": {"name": "p"},
    "status": {
        "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: cpu"}
        ]
    },
}
STANDALONE = crashed(f'{{"level": "info"}}\nerror: {preflight._STANDALONE}\n')
QUOTA = {"status": "True", "message": 'pods "a" is forbidden: exceeded quota: small'}
DOWN = {"there": 2, "updated": 2, "ready": 0}
LOST = pod(since=NOW - PATIENCE, started=True, state={"running": {}})
FRESH = pod(since=NOW - PATIENCE + timedelta(seconds=1), started=True, state={"running": {}})

# fmt: off
TABLE = {
    # what was seen: (Ready, Reconciling, Stalled, Available, DatabaseReady, SecretsReady, Degraded), reason of Ready
    "nothing yet": ({}, "FTFFUTF", "Starting"),
    "all is well": ({"deployment": deployment()}, "TFFTTTF", "Serving"),
    "one of two is ready": ({"deployment": deployment(ready=1)}, "TTFTTTF", "Serving"),
    "a rollout": ({"deployment": deployment(there=3, updated=1, ready=2)}, "TTFTTTF", "Serving"),
    "a rollout that has not begun": ({"deployment": deployment(generation=2)}, "TTFTTTF", "Serving"),
    "to nothing": ({"board": board(spec(replicas=0)), "deployment": deployment(0, 0, 0, 0)}, "FFFFUTF", "ScaledToZero"),
    "paused": ({"board": board(spec(paused=True)), "deployment": deployment(generation=2)}, "TFFTTTF", "Serving"),
    "no secret": ({"secrets": (MISSING,)}, "FTTFUFT", "SecretMissing"),
    "the secret goes": ({"secrets": (MISSING,), "deployment": deployment()}, "FFTTTFT", "SecretMissing"),
    "a rival": ({"rival": "games/other"}, "FTTFFTT", "DatabaseInUse"),
    "a child refused": ({"refusals": (Trouble("Invalid", "no"),), "deployment": deployment()}, "FFTTTTT", "Invalid"),
    "no image": (
        {"deployment": deployment(**DOWN), "pods": [waiting("ImagePullBackOff")]}, "FTTFUTT", "ImageNotPulled"),
    "a new image is missing": (
        {"deployment": deployment(there=3, updated=1), "pods": [waiting("ErrImagePull")]}, "FTTTTTT", "ImageNotPulled"),
    "one pod of a settled two fails": (
        {"deployment": deployment(ready=1), "pods": [crashed("error: x")]}, "TTFTTTT", "Serving"),
    "no config": (
        {"deployment": deployment(**DOWN), "pods": [waiting("CreateContainerConfigError")]}, "FTTFUTT",
        "ContainerNotStarted"),
    "standalone": ({"deployment": deployment(**DOWN), "pods": [STANDALONE]}, "FTTFFTT", "Standalone"),
    "a new password is wrong": (
        {"deployment": deployment(there=3, updated=1),
         "pods": [crashed("error: MongoDB refuses the user or password of mongodb_uri; check them")]},
        "FTTTFTT", "AccessDenied"),
    "a wrong key": (
        {"deployment": deployment(**DOWN), "pods": [crashed("error: jwt_key_file: too short\nerror: b: c")]},
        "FTTFUTT", "StartupFailed"),
    "too little memory": (
        {"deployment": deployment(**DOWN), "pods": [crashed("", reason="OOMKilled")]}, "FTTFUTT", "OutOfMemory"),
    "the database goes": ({"deployment": deployment(**DOWN), "pods": [LOST]}, "FTTFFTT", "NotAnswering"),
    "a pod that has just started": ({"deployment": deployment(**DOWN), "pods": [FRESH]}, "FTFFUTF", "Starting"),
    "no node": ({"deployment": deployment(**DOWN), "pods": [UNSCHEDULABLE]}, "FTTFUTT", "Unschedulable"),
    "a quota": ({"deployment": deployment(there=0, updated=0, ready=0, ReplicaFailure=QUOTA)}, "FTTFUTT",
                "QuotaExceeded"),
    "a policy": ({"deployment": deployment(there=0, updated=0, ready=0, ReplicaFailure={"status": "True"})}, "FTTFUTT",
                 "PodsRefused"),
    "too slow": (
        {"deployment": deployment(**DOWN, Progressing={"status": "False", "reason": "ProgressDeadlineExceeded"})},
        "FTTFUTT", "TooSlow"),
}
# fmt: on


ELSEWHERE = ("Exposed", "UpdatePending", "AutoscalingActive")
"""Conditions that test_exposure.py, test_rollouts.py and test_autoscaling.py are about."""


def seen(**what):
    return Observed(**{"board": board(), "generation": 3, "now": NOW, **what})


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
    found = trouble([crashed(f"error: {sentence}\n")], NOW)
    assert found.reason == reason
    assert sentence in found.message
