"""A Leaderboard that is being deleted. Kubernetes takes its objects away; only a database to be dropped needs us."""

from __future__ import annotations

import logging
from typing import Any

from leaderboard_operator import API_VERSION, GROUP, PLURAL, database
from leaderboard_operator.cluster import Cluster, Collection
from leaderboard_operator.conditions import Trouble
from leaderboard_operator.resources.names import Board
from leaderboard_operator.secretkeys import Keys

log = logging.getLogger(__name__)

FINALIZER = f"{GROUP}/drop-database"

Object = dict[str, Any]


async def set_finalizer(cluster: Cluster, live: Object, *, wanted: bool) -> None:
    """Have the finalizer on the resource exactly while its database is to be dropped with it."""
    meta = live["metadata"]
    have: list[str] = meta.get("finalizers", [])
    if wanted == (FINALIZER in have):
        return
    finalizers = [*have, FINALIZER] if wanted else [each for each in have if each != FINALIZER]
    path = Collection(f"{GROUP}/{API_VERSION}", PLURAL, meta["namespace"])(meta["name"])
    patch = {"metadata": {"finalizers": finalizers, "resourceVersion": meta["resourceVersion"]}}
    live["metadata"] = (await cluster.merge(path, patch))["metadata"]


async def drop_database(cluster: Cluster, board: Board, keys: Keys) -> Trouble | None:
    """End the pods and drop the database; None when that is done, else what it waits for."""
    path = Collection("apps/v1", "deployments", board.namespace)(board.name)
    deployment = await cluster.find(path)
    if deployment is not None:
        await cluster.delete(path, deployment["metadata"]["uid"])
    if await cluster.list(Collection("v1", "pods", board.namespace)(), board.labels):
        return Trouble("PodsEnding", "The database is dropped once the pods have ended")
    if keys.mongodb_uri is None:
        return _not_dropped("; ".join(each.message for each in keys.troubles))
    try:
        await database.drop(keys.mongodb_uri, board.spec.database.name)
    except database.NotDropped as error:
        return _not_dropped(str(error))
    log.info("the database %s is dropped", board.spec.database.name)
    return None


def _not_dropped(why: str) -> Trouble:
    return Trouble(
        "DatabaseNotDropped",
        f"The database cannot be dropped: {why}. Mend that, or set spec.database.deletionPolicy to Retain to keep it",
    )
