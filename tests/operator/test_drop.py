"""The progress of a drop, from the state of its Job and pods."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from leaderboard_operator.deletion import POD_GRACE, DropProgress, drop_database, keep_database
from leaderboard_operator.resources.drop_job import DATABASE_KEPT, drop_job
from leaderboard_operator.resources.view import NAME_LABEL, UID_LABEL
from leaderboard_operator.secret_refs import SecretState
from tests.support.leaderboard_views import view
from tests.support.leaderboards import spec

Object = dict[str, Any]

FAILED = {"type": "Failed", "status": "True", "message": "Job was active longer than specified deadline"}
COMPLETE = {"type": "Complete", "status": "True"}
PROXY = {"name": "istio-proxy", "state": {"running": {}}}
"""A sidecar of a service mesh, which does not exit by itself."""


def terminated(code: int, *others: Object, message: str = "") -> Object:
    """A pod whose service has exited, with `others` that have not."""
    service = {"name": "leaderboard", "state": {"terminated": {"exitCode": code, "message": message}}}
    return {"metadata": {}, "status": {"containerStatuses": [*others, service]}}


class Cluster:
    """A cluster with a Job and its pods."""

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


async def progress_of(pods: list[Object], *conditions: Object, age: timedelta = POD_GRACE) -> tuple[DropProgress, bool]:
    """The progress, and whether the Job was deleted."""
    job = drop_job(view())
    created = (datetime.now(UTC) - age).strftime("%Y-%m-%dT%H:%M:%SZ")
    job["metadata"] |= {"uid": "uid-of-the-job", "creationTimestamp": created}
    cluster = Cluster({**job, "status": {"conditions": list(conditions)}}, pods)
    progress = await drop_database(cluster, view(), SecretState((), ""))
    return progress, cluster.deleted == ["uid-of-the-job"]


@pytest.mark.parametrize(
    ("pods", "conditions", "reason"),
    [
        ([terminated(0)], [COMPLETE], "DatabaseDropped"),
        ([], [COMPLETE], "DatabaseDropped"),
        ([terminated(0, PROXY)], [], "DatabaseDropped"),
        ([terminated(DATABASE_KEPT, message="error: it is another's")], [FAILED], "DatabaseKept"),
        ([terminated(DATABASE_KEPT, PROXY, message="error: it is another's")], [], "DatabaseKept"),
        ([terminated(DATABASE_KEPT, {"name": "proxy", "state": {"terminated": {"exitCode": 0}}})], [], "DatabaseKept"),
    ],
)
async def test_drop_with_exited_service_is_done(pods, conditions, reason):
    progress, deleted = await progress_of(pods, *conditions)
    assert (progress.explanation.reason, progress.done, deleted) == (reason, True, True)


@pytest.mark.parametrize(
    ("pods", "conditions", "reason", "text"),
    [
        ([terminated(1, PROXY, message="error: no database")], [], "DatabaseNotDropped", "no database"),
        ([terminated(1, message="error: no database")], [FAILED], "DatabaseNotDropped", "no database"),
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
async def test_drop_that_is_not_done_reports_cause(pods, conditions, reason, text):
    progress, deleted = await progress_of(pods, *conditions)
    assert (progress.explanation.reason, progress.done, deleted) == (reason, False, False)
    assert text in progress.explanation.message


@pytest.mark.parametrize("labels", [{}, {UID_LABEL: "uid-of-an-earlier-leaderboard"}])
async def test_drop_with_job_of_other_owner_is_refused_and_keeps_it(labels):
    job = drop_job(view())
    job["metadata"] |= {"uid": "uid-of-the-job", "labels": labels}
    cluster = Cluster({**job, "status": {"conditions": [COMPLETE]}}, [])
    progress = await drop_database(cluster, view(), SecretState((), ""))
    assert (progress.explanation.reason, progress.done) == ("DatabaseNotDropped", False)
    assert "of another owner exists" in progress.explanation.message
    await keep_database(cluster, view())
    assert cluster.deleted == []


async def test_drop_with_new_job_reports_no_missing_pod():
    progress, _ = await progress_of([], age=timedelta(0))
    assert "no pod" not in progress.explanation.message


def test_drop_job_with_pod_labels_omits_selector_of_services():
    labels = {NAME_LABEL: "another", "team": "games"}
    labels_of_pod = drop_job(view(spec(template={"metadata": {"labels": labels}})))["spec"]["template"]["metadata"][
        "labels"
    ]
    assert NAME_LABEL not in labels_of_pod
    assert labels_of_pod["team"] == "games"


@pytest.mark.parametrize(
    "pod",
    [
        {"sidecars": [{"name": "leaderboard", "image": "proxy:1"}]},
        {"sidecars": [{}], "initContainers": [{}]},
        {"volumes": [{}]},
        {"volumeMounts": [{}]},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_drop_job_with_invalid_template_is_built(pod):
    """A Leaderboard that never had pods can be deleted."""
    (container,) = drop_job(view(spec(template={"spec": pod})))["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["leaderboard", "database", "drop"]
