"""The status for observed states, and the reasons for the error messages of the service."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pymongo.errors import OperationFailure, ServerSelectionTimeoutError

from leaderboard_operator import VERSION
from leaderboard_operator.conditions import MAX_MESSAGE_LENGTH, Problem
from leaderboard_operator.pods import grace_left, problem
from leaderboard_operator.status import failed_status, rollout_ended, status, version
from tests.support.status_cases import (
    DATABASE_LOST,
    DOWN,
    JUST_STARTED,
    NOW,
    STATUS_CASES,
    UNSCHEDULABLE,
    UNSCHEDULABLE_IN_GRACE,
    crashed,
    deployment,
    looping,
    observed,
    unready,
)
from tornado_app.core.model import Owner
from tornado_app.mongo.client import preflight
from tornado_app.mongo.ownership import _foreign


@pytest.mark.parametrize(
    ("live", "reason"),
    [
        (unready(timedelta(minutes=5), timedelta(seconds=119)), None),  # never ready: it reads a large board
        (unready(timedelta(minutes=5), timedelta(seconds=120)), "NotAnswering"),
        (unready(timedelta(seconds=14), timedelta(minutes=5)), None),  # was ready
        (unready(timedelta(seconds=15), timedelta(minutes=5)), "NotAnswering"),
    ],
)
def test_unready_pod_is_reported_after_its_grace_period(live, reason):
    reported = problem([live], NOW)
    assert (reported.reason if reported else None) == reason


OTHER_CONDITIONS = ("Exposed", "UpdatePending", "AutoscalingActive")
"""Conditions that test_exposure.py, test_rollouts.py and test_autoscaling.py test."""


def letters_of(status_):
    """The first letters of the statuses: T, F or U."""
    return "".join(row["status"][0] for row in status_["conditions"] if row["type"] not in OTHER_CONDITIONS)


@pytest.mark.parametrize("case", STATUS_CASES)
def test_status_of_observed_state(case):
    fields, letters, reason = STATUS_CASES[case]
    after = status(observed(**fields), {})
    rows = after["conditions"]
    assert letters_of(after) == letters
    assert rows[0]["reason"] == reason
    assert {row["observedGeneration"] for row in rows} == {after["observedGeneration"]} == {3}
    assert all(row["message"] for row in rows if row["type"] in ("Ready", "SecretsReady") and row["status"] == "False")
    statuses = {row["type"]: row["status"] for row in rows}
    assert (statuses["Reconciling"], statuses["Stalled"]) != ("True", "True")


def test_rollout_ended_with_crashing_pods_is_true():
    assert rollout_ended(observed(deployment=deployment(**DOWN), pods=[looping("Segmentation fault")]))
    assert not rollout_ended(observed(deployment=deployment(existing=3, updated=1), pods=[]))


def test_grace_left_is_time_until_next_problem():
    assert grace_left([UNSCHEDULABLE_IN_GRACE, JUST_STARTED], NOW) == timedelta(seconds=1)
    assert grace_left([UNSCHEDULABLE, DATABASE_LOST], NOW) is None


PERSISTENT = Problem("ReconcileError", "500")


@pytest.mark.parametrize(
    ("before", "letters"),
    [
        (status(observed(deployment=deployment()), {}), "TFFTTTT"),
        (status(observed(deployment=deployment(), generation=2), {}), "FFTTTTT"),
        (status(observed(), {}), "FFTFUTT"),
        ({}, "TFFT"),
    ],
    ids=["serving", "a newer spec", "starting", "never reconciled"],
)
def test_failed_status_is_degraded_and_keeps_ready_of_generation(before, letters):
    after = failed_status(PERSISTENT, 3, before, NOW)
    assert letters_of(after) == letters
    assert after["observedGeneration"] == 3
    degraded = {row["type"]: row for row in after["conditions"]}["Degraded"]
    assert (degraded["reason"], degraded["message"], degraded["observedGeneration"]) == ("ReconcileError", "500", 3)
    assert failed_status(PERSISTENT, 3, after, NOW + timedelta(hours=1)) == after


def test_message_too_long_is_shortened():
    after = status(observed(secrets=(Problem("KeyMissing", "its keys: " + "k" * 1_000_000),)), {})
    assert max(len(row["message"]) for row in after["conditions"]) == MAX_MESSAGE_LENGTH
    assert failed_status(Problem("ReconcileError", "x" * 50_000), 3, {}, NOW)["conditions"][0]["message"].endswith("x…")


def test_status_has_counts_of_deployment():
    after = status(observed(deployment=deployment(3, 4, 2, 1)), {})
    assert (after["replicas"], after["updatedReplicas"], after["readyReplicas"]) == (4, 2, 1)
    assert after["selector"] == "leaderboard.dev/name=arcade"


def test_condition_unchanged_keeps_transition_time():
    first = status(observed(), {})
    later = NOW + timedelta(minutes=1)
    second = status(observed(deployment=deployment(), now=later), first)
    times = {row["type"]: row["lastTransitionTime"] for row in second["conditions"]}
    assert times["Ready"] == "2026-11-21T12:01:00Z"
    assert times["SecretsReady"] == "2026-11-21T12:00:00Z"
    assert status(observed(deployment=deployment(), now=later + timedelta(hours=1)), second) == second


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (f"leaderboard-app:{VERSION}", VERSION),
        ("host:5000/a/leaderboard:1.2.0@sha256:00", "1.2.0"),
        ("host:5000/leaderboard", "latest"),
        ("host:5000/leaderboard@sha256:0123456789abcdef", "sha256:0123456789ab"),
    ],
)
def test_version_is_tag_or_digest_of_image(image, expected):
    assert version(image) == expected


def explained(code, text="no"):
    return preflight.explain(OperationFailure(text, code), "arcade")


MESSAGES = {
    "Standalone": preflight._STANDALONE,
    "NotInitiated": preflight._NOT_INITIATED,
    "NotPrimary": preflight._SECONDARY,
    "TooOld": "MongoDB 5.0.1 is too old: version 6.0 or newer is needed",
    "DatabaseInUse": str(_foreign("arcade", Owner("a", "b", "c"), Owner("d", "e", "f"))),
    "InvalidConnectionString": "mongodb_uri_file: /etc/leaderboard/secrets/mongodb-uri does not hold a URI",
}


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        *MESSAGES.items(),
        ("AccessDenied", explained(18)),
        ("AccessDenied", explained(13)),
        ("AccessDenied", explained(13, "command requires authentication")),
        ("Refused", explained(1)),
        ("Unreachable", preflight.explain(ServerSelectionTimeoutError("h:1: connection refused"), "arcade")),
        ("NotInitiated", preflight.explain(ServerSelectionTimeoutError("RSGhost"), "arcade")),
    ],
)
def test_error_message_of_service_has_reason(reason, message):
    reported = problem([crashed(f"error: {message}\n")], NOW)
    assert reported.reason == reason
    assert message in reported.message
