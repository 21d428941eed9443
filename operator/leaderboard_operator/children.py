"""The objects of a Leaderboard on the API server: brought to what the builders say, and away when no longer wanted."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from http import HTTPStatus
from typing import Any

import msgspec

from leaderboard_operator import KIND
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
from leaderboard_operator.resources import KINDS, Board, Kind, Object
from leaderboard_operator.resources.httproute import GATEWAY_API
from leaderboard_operator.spec.exposure import ParentRef

_OF_THE_SERVER = ("managedFields", "resourceVersion", "generation")

_OF_OTHERS = "deployment.kubernetes.io/"
"""Annotations that the Deployment controller writes."""


Kinds = tuple[Kind, ...]


class Found(msgspec.Struct, frozen=True):
    """What is there, by kind and name, of the Leaderboard's own; `kinds` are those that the cluster knows."""

    kinds: Kinds
    objects: dict[tuple[str, str], Object]

    def deployment(self, name: str) -> Object | None:
        """The Deployment."""
        return self.objects.get(("deployments", name))

    def has_settings(self, deployment: Object) -> bool:
        """Whether the ConfigMap that the pods of a Deployment mount is there."""
        volumes = deployment["spec"]["template"]["spec"].get("volumes", [])
        names = [each.get("configMap", {}).get("name") for each in volumes if each["name"] == "config"]
        return all(("configmaps", name) in self.objects for name in names)

    def exposed(self, plural: str, name: str) -> Object | None:
        """A Service, an Ingress or an HTTPRoute."""
        return self.objects.get((plural, name))

    def autoscaler(self, name: str) -> Object | None:
        """The HorizontalPodAutoscaler."""
        return self.objects.get(("horizontalpodautoscalers", name))


class Children:
    """Reads, applies and prunes. What was applied is remembered, so that what stands as it should is not written."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._applied: dict[tuple[str, str, str], tuple[str, str]] = {}
        self._kinds: Kinds = ()

    async def discover(self) -> Kinds:
        """Find out which kinds the cluster knows; from now on objects of these are looked after."""
        versions = {kind.api_version for kind in KINDS if kind.optional}
        resources = [
            (version, each["name"])
            for version in versions
            for each in (await self._cluster.find(f"/apis/{version}") or {"resources": []})["resources"]
        ]
        self._kinds = tuple(each for each in KINDS if not each.optional or (each.api_version, each.plural) in resources)
        return self._kinds

    async def find(self, board: Board) -> Found:
        """The Leaderboard's own objects of all kinds."""
        paths = {kind.plural: _path(kind, board)() for kind in self._kinds}
        lists = await asyncio.gather(*(self._cluster.list(path, board.labels) for path in paths.values()))
        objects = {
            (plural, each["metadata"]["name"]): each
            for plural, found in zip(paths, lists, strict=True)
            for each in found
            if controller_uid(each) == board.uid
        }
        return Found(self._kinds, objects)

    async def apply(self, board: Board, found: Found, *, held: bool) -> list[Trouble]:
        """Bring each object to what its builder says; the troubles of those that the API server refuses.

        `held`: the Deployment stays as it is, or is not made, since its pods could not start. An error that may pass
        is raised when all objects have had their turn: one that fails keeps none of the others waiting.
        """
        troubles = []
        passing: list[ApiError] = []
        for kind in found.kinds:
            wanted = kind.build(board)
            if wanted is None or (held and kind.plural == "deployments"):
                continue
            try:
                found.objects[kind.plural, wanted["metadata"]["name"]] = await self._ensure(board, kind, wanted, found)
            except _Ending:
                continue
            except _Taken as taken:
                troubles.append(Trouble("NameTaken", str(taken)))
            except ApiError as error:
                trouble = _refusal(wanted["kind"], error)
                troubles += [trouble] if trouble else []
                passing += [] if trouble else [error]
        if passing:
            raise passing[0]
        return troubles

    async def prune(self, board: Board, found: Found, *, settled: bool) -> None:
        """Delete what is no longer wanted. Until the pods are `settled` on the new ConfigMap, they need the old one."""
        paths = {kind.plural: _path(kind, board) for kind in found.kinds}
        built = ((kind.plural, kind.build(board)) for kind in found.kinds)
        wanted = {(plural, each["metadata"]["name"]) for plural, each in built if each is not None}
        for plural, name in [key for key in found.objects if key not in wanted]:
            if plural != "configmaps" or settled:
                gone = found.objects.pop((plural, name))
                await self._cluster.delete(paths[plural](name), gone["metadata"]["uid"])

    def missing(self, board: Board, found: Found) -> list[Trouble]:
        """What is asked for by name and the cluster does not know."""
        known = {kind.plural for kind in found.kinds}
        gateway = board.spec.exposure.gateway
        if gateway is not None and gateway.parent_refs and "httproutes" not in known:
            return [
                Trouble("NoGatewayApi", "spec.exposure.gateway needs the Gateway API, whose CRDs are not installed")
            ]
        return []

    async def gateways(self, board: Board) -> dict[ParentRef, Object]:
        """The Gateways that the spec names. One that is not there, or may not be read, is left out."""
        asked = board.spec.exposure.gateway
        found = {}
        for parent in asked.parent_refs if asked else ():
            path = Collection(GATEWAY_API, "gateways", parent.namespace or board.namespace)(parent.name)
            try:
                live = await self._cluster.find(path)
            except ApiError as error:
                if error.status != HTTPStatus.FORBIDDEN:  # a role in some namespaces only, and the Gateway in another
                    raise
                continue
            if live is not None:
                found[parent] = live
        return found

    def forget(self, uid: str) -> None:
        """The Leaderboard is gone."""
        self._applied = {key: value for key, value in self._applied.items() if key[0] != uid}

    async def _ensure(self, board: Board, kind: Kind, wanted: Object, found: Found) -> Object:
        name = wanted["metadata"]["name"]
        path, key = _path(kind, board)(name), (board.uid, kind.plural, name)
        live = found.objects.get((kind.plural, name))
        if live is None:
            await self._refuse_foreign(path, wanted, board)
        elif self._applied.get(key) == (_digest(wanted), _digest(_own(live))) or _ending(live):
            return live
        made = await self._cluster.apply(path, wanted)
        self._applied[key] = (_digest(wanted), _digest(_own(made)))
        return made

    async def _refuse_foreign(self, path: str, wanted: Object, board: Board) -> None:
        """Raise _Taken for an object of another owner. An object of this Leaderboard that lost its owner is adopted."""
        live = await self._cluster.find(path)
        if live is None or controller_uid(live) == board.uid:
            return
        if _adoptable(live, board):
            if not await self._remains(board):
                raise _Ending
            return
        if _left_by_namesake(live, board):
            raise _Ending
        what = f"{wanted['kind']} {wanted['metadata']['name']}"
        raise _Taken(f"There is a {what} already that is not this Leaderboard's. Delete or rename one of the two")

    async def _remains(self, board: Board) -> bool:
        """Whether the Leaderboard is still there and stays, read again before an adoption.

        A Leaderboard that is deleted with `--cascade=orphan` leaves its objects to the next one of its name. An owner
        that is gone by the time of the adoption would have them garbage collected.
        """
        live = await self._cluster.find(leaderboards(board.namespace)(board.name))
        return live is not None and live["metadata"]["uid"] == board.uid and not _ending(live)


class _Taken(Exception):
    """An object of the wanted name is somebody else's."""


class _Ending(Exception):
    """An object of the wanted name is being deleted with an earlier Leaderboard; its end is an event."""


def _path(kind: Kind, board: Board) -> Collection:
    return Collection(kind.api_version, kind.plural, board.namespace)


def _adoptable(live: Object, board: Board) -> bool:
    """Whether an object was made for a Leaderboard of this name, and has no owner any more."""
    labels = live["metadata"].get("labels", {})
    return controller_uid(live) is None and labels.items() >= board.labels.items()


def _left_by_namesake(live: Object, board: Board) -> bool:
    """Whether an object belongs to an earlier Leaderboard of this name, with which it is garbage collected."""
    owners = live["metadata"].get("ownerReferences", [])
    return any(each.get("controller") and (each["kind"], each["name"]) == (KIND, board.name) for each in owners)


def _ending(live: Object) -> bool:
    return "deletionTimestamp" in live["metadata"]


def _own(live: Object) -> Object:
    """A live object without what changes by itself."""
    meta: dict[str, Any] = {name: value for name, value in live["metadata"].items() if name not in _OF_THE_SERVER}
    notes = {name: value for name, value in meta.pop("annotations", {}).items() if not name.startswith(_OF_OTHERS)}
    rest = {name: value for name, value in live.items() if name not in ("apiVersion", "kind", "metadata", "status")}
    return {"metadata": {**meta, "annotations": notes}, **rest}


def _digest(value: Object) -> str:
    return sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()


def _refusal(kind: str, error: ApiError) -> Trouble | None:
    """The trouble that a refused object is; None for an error that may pass."""
    if terminating(error):
        return Trouble("NamespaceTerminating", "The namespace is being deleted: nothing can be made in it")
    if error.status == HTTPStatus.FORBIDDEN and "exceeded quota" in error.message:
        return Trouble("QuotaExceeded", f"A quota stops the {kind}: {error.message}. Raise it")
    if error.status == HTTPStatus.FORBIDDEN:
        return Trouble(
            "Forbidden",
            f"The {kind} is refused: {error.message}. Check the operator's role, and policies of the cluster",
        )
    if refused(error):
        return Trouble("Invalid", f"The {kind} that spec asks for is refused: {error.message}")
    return None
