"""The owned objects of a Leaderboard on the API server: reads, applies and prunes them."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from http import HTTPStatus
from typing import Any

import msgspec

from leaderboard_operator import KIND, Object
from leaderboard_operator.cluster import (
    ApiError,
    Cluster,
    Collection,
    controller_uid,
    leaderboards,
    refused,
    terminating,
)
from leaderboard_operator.conditions import Problem
from leaderboard_operator.resources import KINDS, Kind, LeaderboardView
from leaderboard_operator.resources.networking import GATEWAY_API
from leaderboard_operator.spec.exposure import ParentRef

_SERVER_FIELDS = ("managedFields", "resourceVersion", "generation")

_CONTROLLER_ANNOTATIONS = "deployment.kubernetes.io/"
"""Prefix of annotations that the Deployment controller writes."""

Kinds = tuple[Kind, ...]


class LiveObjects(msgspec.Struct, frozen=True):
    """The live objects of a Leaderboard by plural and name. `kinds` are the kinds that the cluster has."""

    kinds: Kinds
    objects: dict[tuple[str, str], Object]

    def get(self, plural: str, name: str) -> Object | None:
        return self.objects.get((plural, name))

    def deployment(self, name: str) -> Object | None:
        return self.get("deployments", name)

    def has_settings(self, deployment: Object) -> bool:
        """Whether the ConfigMap that the pods of a Deployment mount exists."""
        volumes = deployment["spec"]["template"]["spec"].get("volumes", [])
        names = [volume.get("configMap", {}).get("name") for volume in volumes if volume["name"] == "config"]
        return all(("configmaps", name) in self.objects for name in names)


class OwnedObjects:
    """Reads, applies and prunes objects. It stores digests of applied objects, and does not write unchanged ones."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._applied: dict[tuple[str, str, str], tuple[str, str]] = {}
        self._kinds: Kinds = ()

    async def discover(self) -> Kinds:
        """Determine the kinds that the cluster has. From now on objects of these kinds are managed."""
        versions = {kind.api_version for kind in KINDS if kind.optional}
        resources = [
            (version, resource["name"])
            for version in versions
            for resource in (await self._cluster.find(f"/apis/{version}") or {"resources": []})["resources"]
        ]
        self._kinds = tuple(kind for kind in KINDS if not kind.optional or (kind.api_version, kind.plural) in resources)
        return self._kinds

    async def find(self, leaderboard: LeaderboardView) -> LiveObjects:
        """All objects that the Leaderboard owns."""
        paths = {kind.plural: _path(kind, leaderboard)() for kind in self._kinds}
        lists = await asyncio.gather(*(self._cluster.list(path, leaderboard.labels) for path in paths.values()))
        objects = {
            (plural, live["metadata"]["name"]): live
            for plural, objects_of_kind in zip(paths, lists, strict=True)
            for live in objects_of_kind
            if controller_uid(live) == leaderboard.uid
        }
        return LiveObjects(self._kinds, objects)

    async def apply(self, leaderboard: LeaderboardView, live: LiveObjects, *, held: bool) -> list[Problem]:
        """Apply the desired objects. Returns the problems of objects that the API server refuses.

        `held`: the Deployment is not applied, because its pods could not start. A temporary error is raised after all
        objects have been tried, so that it does not affect the others.
        """
        problems = []
        temporary: list[ApiError] = []
        for kind in live.kinds:
            desired = kind.build(leaderboard)
            if desired is None or (held and kind.plural == "deployments"):
                continue
            try:
                applied = await self._apply_one(leaderboard, kind, desired, live)
                live.objects[kind.plural, desired["metadata"]["name"]] = applied
            except _PredecessorNotDeleted:
                continue
            except _OwnershipConflict as conflict:
                problems.append(Problem("NameTaken", str(conflict)))
            except ApiError as error:
                problem = _refusal(desired["kind"], error)
                problems += [problem] if problem else []
                temporary += [] if problem else [error]
        if temporary:
            raise temporary[0]
        return problems

    async def prune(self, leaderboard: LeaderboardView, live: LiveObjects, *, settled: bool) -> None:
        """Delete objects that are not desired any more. Old ConfigMaps stay until the pods are `settled`."""
        paths = {kind.plural: _path(kind, leaderboard) for kind in live.kinds}
        built = ((kind.plural, kind.build(leaderboard)) for kind in live.kinds)
        desired = {(plural, object_["metadata"]["name"]) for plural, object_ in built if object_ is not None}
        for plural, name in [key for key in live.objects if key not in desired]:
            if plural != "configmaps" or settled:
                pruned = live.objects.pop((plural, name))
                await self._cluster.delete(paths[plural](name), pruned["metadata"]["uid"])

    def missing_kinds(self, leaderboard: LeaderboardView, live: LiveObjects) -> list[Problem]:
        """Problems with kinds that the spec needs and the cluster does not have."""
        plurals = {kind.plural for kind in live.kinds}
        gateway = leaderboard.spec.exposure.gateway
        if gateway is not None and gateway.parent_refs and "httproutes" not in plurals:
            return [
                Problem("NoGatewayApi", "spec.exposure.gateway needs the Gateway API, whose CRDs are not installed")
            ]
        return []

    async def gateways(self, leaderboard: LeaderboardView) -> dict[ParentRef, Object]:
        """The Gateways that the spec refers to, without those that do not exist or that the operator may not read."""
        spec = leaderboard.spec.exposure.gateway
        gateways = {}
        for parent in spec.parent_refs if spec else ():
            path = Collection(GATEWAY_API, "gateways", parent.namespace or leaderboard.namespace)(parent.name)
            try:
                live = await self._cluster.find(path)
            except ApiError as error:
                if error.status != HTTPStatus.FORBIDDEN:  # with roles in some namespaces, the Gateway may be in another
                    raise
                continue
            if live is not None:
                gateways[parent] = live
        return gateways

    def forget(self, uid: str) -> None:
        """Remove the digests of a deleted Leaderboard."""
        self._applied = {key: value for key, value in self._applied.items() if key[0] != uid}

    async def _apply_one(self, leaderboard: LeaderboardView, kind: Kind, desired: Object, live: LiveObjects) -> Object:
        name = desired["metadata"]["name"]
        path, key = _path(kind, leaderboard)(name), (leaderboard.uid, kind.plural, name)
        current = live.objects.get((kind.plural, name))
        if current is None:
            await self._check_ownership(path, desired, leaderboard)
        elif self._applied.get(key) == (_digest(desired), _digest(_stable_fields(current))) or _terminating(current):
            return current
        applied = await self._cluster.apply(path, desired)
        self._applied[key] = (_digest(desired), _digest(_stable_fields(applied)))
        return applied

    async def _check_ownership(self, path: str, desired: Object, leaderboard: LeaderboardView) -> None:
        """Raise if an object of another owner has the name. An orphan of this Leaderboard is adopted."""
        live = await self._cluster.find(path)
        if live is None or controller_uid(live) == leaderboard.uid:
            return
        if _is_orphan(live, leaderboard):
            if not await self._still_exists(leaderboard):
                raise _PredecessorNotDeleted
            return
        if _belongs_to_predecessor(live, leaderboard):
            raise _PredecessorNotDeleted
        name = f"{desired['kind']} {desired['metadata']['name']}"
        raise _OwnershipConflict(f"The {name} belongs to another owner. Delete or rename one of the two")

    async def _still_exists(self, leaderboard: LeaderboardView) -> bool:
        """Whether the Leaderboard still exists, read again before an adoption.

        A Leaderboard that is deleted with `--cascade=orphan` leaves its objects to the next one of its name. If the
        owner was deleted before the adoption, the garbage collector would delete the adopted objects.
        """
        live = await self._cluster.find(leaderboards(leaderboard.namespace)(leaderboard.name))
        return live is not None and live["metadata"]["uid"] == leaderboard.uid and not _terminating(live)


class _OwnershipConflict(Exception):
    """Another owner has an object of the desired name."""


class _PredecessorNotDeleted(Exception):
    """An object of an earlier Leaderboard of this name is not deleted yet. Its deletion is an event."""


def _path(kind: Kind, leaderboard: LeaderboardView) -> Collection:
    return Collection(kind.api_version, kind.plural, leaderboard.namespace)


def _is_orphan(live: Object, leaderboard: LeaderboardView) -> bool:
    """Whether an object was created for a Leaderboard of this name and has no owner."""
    labels = live["metadata"].get("labels", {})
    return controller_uid(live) is None and labels.items() >= leaderboard.labels.items()


def _belongs_to_predecessor(live: Object, leaderboard: LeaderboardView) -> bool:
    """Whether an earlier Leaderboard of this name owns the object, so that it will be garbage collected."""
    owners = live["metadata"].get("ownerReferences", [])
    return any(
        owner.get("controller") and (owner["kind"], owner["name"]) == (KIND, leaderboard.name) for owner in owners
    )


def _terminating(live: Object) -> bool:
    return "deletionTimestamp" in live["metadata"]


def _stable_fields(live: Object) -> Object:
    """A live object without the fields that the API server and controllers change."""
    meta: dict[str, Any] = {name: value for name, value in live["metadata"].items() if name not in _SERVER_FIELDS}
    annotations = meta.pop("annotations", {}).items()
    kept = {name: value for name, value in annotations if not name.startswith(_CONTROLLER_ANNOTATIONS)}
    rest = {name: value for name, value in live.items() if name not in ("apiVersion", "kind", "metadata", "status")}
    return {"metadata": {**meta, "annotations": kept}, **rest}


def _digest(value: Object) -> str:
    return sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()


def _refusal(kind: str, error: ApiError) -> Problem | None:
    """The problem that a refused object is; None for a temporary error."""
    if terminating(error):
        return Problem("NamespaceTerminating", "The namespace is being deleted: no object can be created in it")
    if error.status == HTTPStatus.FORBIDDEN and "exceeded quota" in error.message:
        return Problem("QuotaExceeded", f"A quota prevents the {kind}: {error.message}. Raise it")
    if error.status == HTTPStatus.FORBIDDEN:
        return Problem(
            "Forbidden",
            f"The API server refuses the {kind}: {error.message}. Check the operator's role and the cluster's policies",
        )
    if refused(error):
        return Problem("Invalid", f"The API server refuses the {kind} that the spec requests: {error.message}")
    return None
