"""What becomes of the Job that drops a database, by its state and that of its pods."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leaderboard_operator.deletion import POD_GRACE, DropProgress, drop_database, keep_database
from leaderboard_operator.resources.drop_job import DATABASE_KEPT, drop_job
from leaderboard_operator.resources.view import NAME_LABEL, UID_LABEL
from leaderboard_operator.secret_refs import SecretState
from tests.operator.boards import spec
from tests.operator.samples import board

Object = dict[str, Any]

FAILED = {"type": "Failed", "status": "True", "message": "Job was active longer than specified deadline"}
COMPLETE = {"type": "Complete", "status": "True"}
PROXY = {"name": "istio-proxy", "state": {"running": {}}}
"""What a service mesh adds; it does not end by itself."""


def ended(code: int, *others: Object, said: str = "") -> Object:
    """A pod whose service ended; the Job waits for the `others`."""
    service = {"name": "leaderboard", "state": {"terminated": {"exitCode": code, "message": said}}}
    return {"metadata": {}, "status": {"containerStatuses": [*others, service]}}


class Cluster:
    """Has a Job and its pods."""

    def __init__(self, job: Object, pods: list[Object]) -> None:
        self.job = job
        self.pods = pods
        self.deleted: list[str] = []

    async def find(self, path: str) -> Object:
        assert path.endswith(f"/jobs/{self.job['metadata']['name']}")
        return self.job

    async def list(self, path: str, labels: dict[str, str]) -> list[Object]:
        assert path.endswith("/pods")
        assert labels.items() <= self.job["metadata"]["labels"].items()
        return self.pods

    async def delete(self, path: str, uid: str) -> None:
        self.deleted.append(uid)


async def followed(pods: list[Object], *conditions: Object, age: timedelta = POD_GRACE) -> tuple[DropProgress, bool]:
    """The next step, and whether the Job was deleted."""
    job = drop_job(board())
    created = (datetime.now(UTC) - age).strftime("%Y-%m-%dT%H:%M:%SZ")
    job["metadata"] |= {"uid": "uid-of-the-job", "creationTimestamp": created}
    cluster = Cluster({**job, "status": {"conditions": list(conditions)}}, pods)
    step = await drop_database(cluster, board(), SecretState((), ""))
    return step, cluster.deleted == ["uid-of-the-job"]


@pytest.mark.parametrize(
    ("pods", "conditions", "reason"),
    [
        ([ended(0)], [COMPLETE], "DatabaseDropped"),
        ([], [COMPLETE], "DatabaseDropped"),
        ([ended(0, PROXY)], [], "DatabaseDropped"),
        ([ended(DATABASE_KEPT, said="error: it is another's")], [FAILED], "DatabaseKept"),
        ([ended(DATABASE_KEPT, PROXY, said="error: it is another's")], [], "DatabaseKept"),
        ([ended(DATABASE_KEPT, {"name": "proxy", "state": {"terminated": {"exitCode": 0}}})], [], "DatabaseKept"),
    ],
)
async def test_job_whose_service_has_ended_is_over_whatever_runs_beside_it(pods, conditions, reason):
    step, deleted = await followed(pods, *conditions)
    assert (step.explanation.reason, step.done, deleted) == (reason, True, True)


@pytest.mark.parametrize(
    ("pods", "conditions", "reason", "text"),
    [
        ([ended(1, PROXY, said="error: no database")], [], "DatabaseNotDropped", "no database"),
        ([ended(1, said="error: no database")], [FAILED], "DatabaseNotDropped", "no database"),
        (
            [],
            [FAILED],
            "DatabaseNotDropped",
            "specified deadline. Check `kubectl events --for job/arcade-drop-",
        ),
        ([], [], "DroppingDatabase", "It has no pod; a quota or a policy may refuse it"),
        ([{"metadata": {}, "status": {"containerStatuses": [PROXY]}}], [], "DroppingDatabase", "drops the database"),
    ],
)
async def test_job_that_does_not_drop_says_why(pods, conditions, reason, text):
    step, deleted = await followed(pods, *conditions)
    assert (step.explanation.reason, step.done, deleted) == (reason, False, False)
    assert text in step.explanation.message


@pytest.mark.parametrize("labels", [{}, {UID_LABEL: "uid-of-an-earlier-leaderboard"}])
async def test_foreign_job_of_the_name_is_neither_followed_nor_deleted(labels):
    job = drop_job(board())
    job["metadata"] |= {"uid": "uid-of-the-job", "labels": labels}
    cluster = Cluster({**job, "status": {"conditions": [COMPLETE]}}, [])
    step = await drop_database(cluster, board(), SecretState((), ""))
    assert (step.explanation.reason, step.done) == ("DatabaseNotDropped", False)
    assert "of another owner exists" in step.explanation.message
    await keep_database(cluster, board())
    assert cluster.deleted == []


async def test_job_that_was_just_made_may_have_no_pod_yet():
    step, _ = await followed([], age=timedelta(0))
    assert "no pod" not in step.explanation.message


def test_pod_of_a_drop_is_in_no_service_whatever_labels_are_asked_for():
    labels = {NAME_LABEL: "another", "team": "games"}
    made = drop_job(board(spec(template={"metadata": {"labels": labels}})))["spec"]["template"]["metadata"]["labels"]
    assert NAME_LABEL not in made
    assert made["team"] == "games"


@pytest.mark.parametrize(
    "pod",
    [
        {"sidecars": [{"name": "leaderboard", "image": "proxy:1"}]},
        {"sidecars": [{}], "initContainers": [{}]},
        {"volumes": [{}]},
        {"volumeMounts": [{}]},
    ],
    ids=lambda each: next(iter(each)),
)
def test_drop_is_made_of_a_template_that_kubernetes_refuses(pod):
    """The Leaderboard never had pods, and can be deleted."""
    (container,) = drop_job(board(spec(template={"spec": pod})))["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["leaderboard", "database", "drop"]
