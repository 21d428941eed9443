"""The deletion of a Leaderboard. Kubernetes deletes its objects; the operator has its database dropped.

The operator itself connects to no database. A Job in the namespace of the Leaderboard drops the database, if the owner
recorded in the database is this Leaderboard.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import msgspec

from leaderboard_operator import GROUP, Object, pods
from leaderboard_operator.cluster import (
    ApiError,
    Cluster,
    Collection,
    controller_uid,
    leaderboards,
    refused,
    terminating,
)
from leaderboard_operator.conditions import Explanation, Problem
from leaderboard_operator.resources.deployment import CONTAINER
from leaderboard_operator.resources.drop_job import DATABASE_KEPT, drop_job, drop_labels
from leaderboard_operator.resources.view import UID_LABEL, LeaderboardView
from leaderboard_operator.secret_refs import SecretState

FINALIZER = f"{GROUP}/drop-database"


POD_GRACE = timedelta(seconds=30)
"""Time until a Job must have a pod."""


class DropProgress(msgspec.Struct, frozen=True):
    """The progress of a drop. `explanation` is a Problem if the drop cannot continue."""

    explanation: Explanation
    done: bool = False


async def set_finalizer(cluster: Cluster, live: Object, *, wanted: bool) -> None:
    """Add or remove the finalizer, which a Leaderboard with the deletion policy `Delete` has."""
    meta = live["metadata"]
    current: list[str] = meta.get("finalizers", [])
    if wanted == (FINALIZER in current):
        return
    finalizers = [*current, FINALIZER] if wanted else [name for name in current if name != FINALIZER]
    path = leaderboards(meta["namespace"])(meta["name"])
    patch = {"metadata": {"finalizers": finalizers, "resourceVersion": meta["resourceVersion"]}}
    live["metadata"] = (await cluster.merge(path, patch))["metadata"]


async def namespace_terminates(cluster: Cluster, namespace: str) -> bool:
    """Whether the namespace is being deleted. No Job can be created then, and Secrets are deleted in any order."""
    try:
        live = await cluster.find(f"/api/v1/namespaces/{namespace}")
    except ApiError as error:
        if error.status == HTTPStatus.FORBIDDEN:
            return False  # the role of an older chart; the creation of the Job then fails
        raise
    return live is None or "deletionTimestamp" in live["metadata"]


async def drop_database(cluster: Cluster, leaderboard: LeaderboardView, secrets: SecretState) -> DropProgress:
    """Delete the pods, then create the Job that drops the database, and follow it."""
    wanted = drop_job(leaderboard)
    path = _jobs(leaderboard)(wanted["metadata"]["name"])
    job = await cluster.find(path)
    if job is not None:
        return await _job_progress(cluster, leaderboard, path, job)
    await _delete_deployment(cluster, leaderboard)
    if await cluster.list(Collection("v1", "pods", leaderboard.namespace)(), leaderboard.labels):
        return DropProgress(Explanation("PodsEnding", "The database is dropped after the pods have ended"))
    if secrets.database_problem is not None:
        return _not_dropped(secrets.database_problem.message)
    try:
        await cluster.create(_jobs(leaderboard)(), wanted)
    except ApiError as error:
        return _refused(leaderboard, error)
    return _dropping(wanted)


async def keep_database(cluster: Cluster, leaderboard: LeaderboardView) -> None:
    """Delete the Job of a drop, after a change of the deletion policy to `Retain`."""
    path = _jobs(leaderboard)(drop_job(leaderboard)["metadata"]["name"])
    job = await cluster.find(path)
    if job is not None and _is_own_job(leaderboard, job):
        await cluster.delete(path, job["metadata"]["uid"])


def kept_with_namespace(leaderboard: LeaderboardView) -> Explanation:
    """The explanation for a database that is kept because its namespace is being deleted."""
    text = (
        f"The database {leaderboard.spec.database.name!r} is kept, because no Job can be created in a namespace that "
        "is being deleted. To drop databases, delete the Leaderboards before their namespace"
    )
    return Explanation("DatabaseKept", text)


async def _job_progress(cluster: Cluster, leaderboard: LeaderboardView, path: str, job: Object) -> DropProgress:
    name = job["metadata"]["name"]
    if not _is_own_job(leaderboard, job):
        return _not_dropped(f"a Job {name} of another owner exists; delete or rename it")
    ended = {row["type"]: row for row in job.get("status", {}).get("conditions", []) if row["status"] == "True"}
    job_pods = await cluster.list(Collection("v1", "pods", leaderboard.namespace)(), drop_labels(leaderboard))
    code, errors = pods.container_result(job_pods, CONTAINER)
    if "Complete" in ended or code == 0:
        await cluster.delete(path, job["metadata"]["uid"])
        dropped = Explanation("DatabaseDropped", f"The database {leaderboard.spec.database.name!r} is dropped")
        return DropProgress(dropped, done=True)
    if code == DATABASE_KEPT:
        await cluster.delete(path, job["metadata"]["uid"])
        return DropProgress(Explanation("DatabaseKept", f"The database is kept: {errors}"), done=True)
    if "Failed" not in ended and code is None:
        return _dropping(job, _pod_problem(job, job_pods, datetime.now(UTC)))
    failure = ended.get("Failed", {}).get("message") or "no message"
    text = f"the Job {name} failed: {failure}. Check `kubectl events --for job/{name}`"
    return _not_dropped(errors or text)


def _pod_problem(job: Object, job_pods: list[Object], now: datetime) -> Problem | None:
    """The problem of the pod of a Job, or of its creation."""
    since = datetime.fromisoformat(job["metadata"]["creationTimestamp"])
    if job_pods or now - since < POD_GRACE:
        return pods.problem(job_pods, now)
    name = job["metadata"]["name"]
    text = f"It has no pod; a quota or a policy may refuse it. Check `kubectl events --for job/{name}`"
    return Problem("PodsRefused", text)


async def _delete_deployment(cluster: Cluster, leaderboard: LeaderboardView) -> None:
    path = Collection("apps/v1", "deployments", leaderboard.namespace)(leaderboard.name)
    deployment = await cluster.find(path)
    if deployment is not None and controller_uid(deployment) == leaderboard.uid:
        await cluster.delete(path, deployment["metadata"]["uid"])


def _is_own_job(leaderboard: LeaderboardView, job: Object) -> bool:
    return bool(job["metadata"].get("labels", {}).get(UID_LABEL) == leaderboard.uid)


def _jobs(leaderboard: LeaderboardView) -> Collection:
    return Collection("batch/v1", "jobs", leaderboard.namespace)


def _dropping(job: Object, problem: Problem | None = None) -> DropProgress:
    text = f"The Job {job['metadata']['name']} drops the database"
    return DropProgress(Explanation("DroppingDatabase", f"{text}. {problem.message}" if problem else text))


def _refused(leaderboard: LeaderboardView, error: ApiError) -> DropProgress:
    if terminating(error):
        return DropProgress(kept_with_namespace(leaderboard), done=True)
    if refused(error):
        return _not_dropped(f"the API server refuses its Job: {error.message}")
    raise error


def _not_dropped(cause: str) -> DropProgress:
    text = (
        f"The database cannot be dropped: {cause}. The operator retries. Resolve the problem, or set "
        "spec.database.deletionPolicy to Retain to keep the database"
    )
    return DropProgress(Problem("DatabaseNotDropped", text))
