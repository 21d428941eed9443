"""A Leaderboard that is being deleted. Kubernetes takes its objects away; only a database to be dropped needs us.

The operator connects to no database: a Job in the Leaderboard's namespace drops it, and only if the owner that is
recorded in the database is this Leaderboard.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import msgspec

from leaderboard_operator import GROUP, pods
from leaderboard_operator.cluster import (
    ApiError,
    Cluster,
    Collection,
    controller_uid,
    leaderboards,
    refused,
    terminating,
)
from leaderboard_operator.conditions import Trouble
from leaderboard_operator.resources.container import CONTAINER
from leaderboard_operator.resources.dropjob import KEPT, drop_job, drop_labels
from leaderboard_operator.resources.names import UID_LABEL, Board
from leaderboard_operator.secretkeys import Keys

FINALIZER = f"{GROUP}/drop-database"

Object = dict[str, Any]

POD_GRACE = timedelta(seconds=30)
"""How long a Job may have no pod before its condition says so: the Job controller takes moments."""


class Step(msgspec.Struct, frozen=True):
    """How far a drop is: `done`, or (`stuck`) what keeps it from going on, or what it waits for."""

    why: Trouble
    done: bool = False
    stuck: bool = False


async def set_finalizer(cluster: Cluster, live: Object, *, wanted: bool) -> None:
    """Have the finalizer on the resource exactly while its database is to be dropped with it."""
    meta = live["metadata"]
    have: list[str] = meta.get("finalizers", [])
    if wanted == (FINALIZER in have):
        return
    finalizers = [*have, FINALIZER] if wanted else [each for each in have if each != FINALIZER]
    path = leaderboards(meta["namespace"])(meta["name"])
    patch = {"metadata": {"finalizers": finalizers, "resourceVersion": meta["resourceVersion"]}}
    live["metadata"] = (await cluster.merge(path, patch))["metadata"]


async def namespace_ends(cluster: Cluster, namespace: str) -> bool:
    """Whether the namespace is being deleted: no Job can be created in it then, and Secrets go in any order."""
    try:
        found = await cluster.find(f"/api/v1/namespaces/{namespace}")
    except ApiError as error:
        if error.status == HTTPStatus.FORBIDDEN:
            return False  # a role of an older chart; the creation of the Job tells
        raise
    return found is None or "deletionTimestamp" in found["metadata"]


async def drop_database(cluster: Cluster, board: Board, keys: Keys) -> Step:
    """End the pods, then have a Job drop the database."""
    wanted = drop_job(board)
    path = _jobs(board)(wanted["metadata"]["name"])
    job = await cluster.find(path)
    if job is not None:
        return await _followed(cluster, board, path, job)
    await _end_deployment(cluster, board)
    if await cluster.list(Collection("v1", "pods", board.namespace)(), board.labels):
        return Step(Trouble("PodsEnding", "The database is dropped once the pods have ended"))
    if keys.database is not None:
        return _not_dropped(keys.database.message)
    try:
        await cluster.create(_jobs(board)(), wanted)
    except ApiError as error:
        return _refused(board, error)
    return _dropping(wanted)


async def keep_database(cluster: Cluster, board: Board) -> None:
    """End a drop that has begun, since the database is to stay after all."""
    path = _jobs(board)(drop_job(board)["metadata"]["name"])
    job = await cluster.find(path)
    if job is not None and _ours(board, job):
        await cluster.delete(path, job["metadata"]["uid"])


def kept_with_namespace(board: Board) -> Trouble:
    """The namespace ends before the database could be dropped."""
    text = (
        f"The namespace is being deleted, in which no Job can be created: the database {board.spec.database.name!r} is "
        "kept. To have databases dropped, delete the Leaderboards before their namespace"
    )
    return Trouble("DatabaseKept", text)


async def _followed(cluster: Cluster, board: Board, path: str, job: Object) -> Step:
    name = job["metadata"]["name"]
    if not _ours(board, job):
        return _not_dropped(f"the Job {name} exists and is not this Leaderboard's; delete or rename it")
    ended = {each["type"]: each for each in job.get("status", {}).get("conditions", []) if each["status"] == "True"}
    found = await cluster.list(Collection("v1", "pods", board.namespace)(), drop_labels(board))
    code, said = pods.outcome(found, CONTAINER)
    if "Complete" in ended or code == 0:
        await cluster.delete(path, job["metadata"]["uid"])
        return Step(Trouble("DatabaseDropped", f"The database {board.spec.database.name!r} is dropped"), done=True)
    if code == KEPT:
        await cluster.delete(path, job["metadata"]["uid"])
        return Step(Trouble("DatabaseKept", f"The database is kept: {said}"), done=True)
    if "Failed" not in ended and code is None:
        return _dropping(job, _pod_trouble(job, found, datetime.now(UTC)))
    ending = ended.get("Failed", {}).get("message") or "it failed"
    return _not_dropped(said or f"the Job {name} says: {ending}. `kubectl events --for job/{name}` has its Events")


def _pod_trouble(job: Object, found: list[Object], now: datetime) -> Trouble | None:
    """What keeps the pod of a Job from running, or from being made."""
    since = datetime.fromisoformat(job["metadata"]["creationTimestamp"])
    if found or now - since < POD_GRACE:
        return pods.trouble(found, now)
    name = job["metadata"]["name"]
    text = f"It has no pod, which a quota or a policy may refuse; `kubectl events --for job/{name}` says why"
    return Trouble("PodsRefused", text)


async def _end_deployment(cluster: Cluster, board: Board) -> None:
    path = Collection("apps/v1", "deployments", board.namespace)(board.name)
    deployment = await cluster.find(path)
    if deployment is not None and controller_uid(deployment) == board.uid:
        await cluster.delete(path, deployment["metadata"]["uid"])


def _ours(board: Board, job: Object) -> bool:
    return bool(job["metadata"].get("labels", {}).get(UID_LABEL) == board.uid)


def _jobs(board: Board) -> Collection:
    return Collection("batch/v1", "jobs", board.namespace)


def _dropping(job: Object, trouble: Trouble | None = None) -> Step:
    text = f"The Job {job['metadata']['name']} drops the database"
    return Step(Trouble("DroppingDatabase", f"{text}. {trouble.message}" if trouble else text))


def _refused(board: Board, error: ApiError) -> Step:
    if terminating(error):
        return Step(kept_with_namespace(board), done=True)
    if refused(error):
        return _not_dropped(f"its Job is refused: {error.message}")
    raise error


def _not_dropped(why: str) -> Step:
    text = (
        f"The database cannot be dropped: {why}. The operator tries again. Resolve that, or set "
        "spec.database.deletionPolicy to Retain to keep the database"
    )
    return Step(Trouble("DatabaseNotDropped", text), stuck=True)
