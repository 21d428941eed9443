"""The watches, through Kopf: each event of a Leaderboard, an owned object, a pod or a Secret enqueues the Leaderboard.

Only `on.event` handlers are used. They store nothing on the resources, neither annotations nor finalizers, and lost or
repeated events do no harm. `WatchFreshness` detects changes without an event.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import kopf

from leaderboard_operator import API_VERSION, GROUP, KIND, MANAGER, PLURAL
from leaderboard_operator.resources import KINDS, Kind
from leaderboard_operator.resources.view import DROP_LABEL, MANAGED, NAME_LABEL, Key

log = logging.getLogger(__name__)


INACTIVITY_SECONDS = 70.0
"""A watch without an event or a bookmark for this time is dead and restarts. The API server sends a bookmark each
minute."""

SHUTDOWN_SECONDS = 10.0
"""Time for Kopf to stop."""

STREAM_SECONDS = 240
"""Maximum duration of a watch before it restarts."""


class _ErrorBackoffs(Iterable[float]):
    """Seconds between retries while the API server refuses. They never end: a namespace may be created again."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((1, 1, 2, 3, 5, 8), itertools.repeat(15))


IGNORED_SECRET_TYPES = (
    "helm.sh/release.v1",
    "kubernetes.io/service-account-token",
    "kubernetes.io/dockerconfigjson",
)
"""Types of Secrets that no Leaderboard refers to. Ordinary clusters have hundreds of megabytes of them."""

PAGE_SIZE = 100
"""Maximum number of objects in one response to a list."""

IDENTITY: Any = MANAGER
"""Set because Kopf would otherwise determine the user and the host name, although its peering is off."""

_MANAGED = ",".join(f"{name}={value}" for name, value in MANAGED.items())


class WatchEnded(Exception):
    """Kopf has stopped without an error."""


class WatchFreshness:
    """Whether the watch of Leaderboards delivers all changes, from a comparison with lists of them."""

    def __init__(self) -> None:
        self._seen: dict[Key, int] = {}
        self._missing: dict[Key, int] = {}
        self._complete_at = asyncio.get_running_loop().time()

    @property
    def age(self) -> float:
        """Seconds since the watch was last complete."""
        return asyncio.get_running_loop().time() - self._complete_at

    def reset(self) -> None:
        """Start to measure now, at the beginning of leadership."""
        self._complete_at = asyncio.get_running_loop().time()

    def record(self, key: Key, version: str) -> None:
        """Record a version that the watch delivered."""
        self._seen[key] = max(int(version), self._seen.get(key, 0))

    def compare(self, listed: dict[Key, str]) -> None:
        """Compare with the versions of a list. The watch must have delivered those that the previous list had."""
        if all(self._seen.get(key, 0) >= version for key, version in self._missing.items() if key in listed):
            self._complete_at = asyncio.get_running_loop().time()
        versions = {key: int(version) for key, version in listed.items()}
        self._missing = {key: version for key, version in versions.items() if self._seen.get(key, 0) < version}
        self._seen = {key: version for key, version in self._seen.items() if key in versions}


class Watches:
    """The watches of all resources that concern Leaderboards.

    `enqueue` is called with the Leaderboard of each event. `secret_users` returns the Leaderboards that refer to a
    Secret, by its namespace and name. `shutdown_seconds`: time for Kopf to stop.
    """

    def __init__(
        self,
        enqueue: Callable[[Key], None],
        secret_users: Callable[[str, str], Collection[Key]],
        shutdown_seconds: float = SHUTDOWN_SECONDS,
    ) -> None:
        self._enqueue = enqueue
        self._secret_users = secret_users
        self._shutdown_seconds = shutdown_seconds
        self.freshness = WatchFreshness()

    async def run(self, kinds: Iterable[Kind], namespaces: Collection[str], handle_signals: Callable[[], None]) -> None:
        """Watch these namespaces (empty: all) until cancelled. Raises the error that ended a watch.

        `handle_signals` is called after Kopf has installed its own signal handlers.
        """
        stop = asyncio.Event()
        tasks = await kopf.spawn_tasks(
            registry=self._registry(kinds),
            settings=settings(),
            clusterwide=not namespaces,
            namespaces=namespaces,
            standalone=True,
            identity=IDENTITY,
            stop_flag=stop,
        )
        handle_signals()
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.set()  # without it Kopf would have the process killed later, as one that does not end
            await self._stop(tasks)
        for task in tasks:
            if task.done() and not task.cancelled():
                task.result()
        raise WatchEnded("Kopf has stopped without an error")

    def _registry(self, kinds: Iterable[Kind]) -> kopf.OperatorRegistry:
        """The handlers for Leaderboards, owned objects of these `kinds`, pods and Secrets."""
        registry = kopf.OperatorRegistry()
        login = kopf.login_with_kubeconfig if os.environ.get("KUBECONFIG") else kopf.login_with_service_account
        kopf.on.login(registry=registry)(login)
        kopf.on.event(GROUP, API_VERSION, PLURAL, registry=registry)(self._on_leaderboard)
        kopf.on.event("", "v1", "secrets", registry=registry)(self._on_secret)
        kopf.on.event("", "v1", "pods", registry=registry)(self._on_owned_object)
        for group, version, plural in {(kind.group, kind.version, kind.plural) for kind in kinds}:
            kopf.on.event(group, version, plural, registry=registry)(self._on_owned_object)
        return registry

    async def _on_leaderboard(self, body: kopf.Body, **_: Any) -> None:
        meta = body["metadata"]
        key = (meta["namespace"], meta["name"])
        self.freshness.record(key, meta["resourceVersion"])
        self._enqueue(key)

    async def _on_owned_object(self, body: kopf.Body, **_: Any) -> None:
        """Pods belong to a ReplicaSet, so that their label names the Leaderboard."""
        meta = body["metadata"]
        owners = [owner["name"] for owner in meta.get("ownerReferences", []) if owner["kind"] == KIND]
        labels = meta.get("labels", {})
        name = owners[0] if owners else labels.get(NAME_LABEL) or labels.get(DROP_LABEL)
        if name:
            self._enqueue((meta["namespace"], name))

    async def _on_secret(self, body: kopf.Body, **_: Any) -> None:
        for key in self._secret_users(body["metadata"]["namespace"], body["metadata"]["name"]):
            self._enqueue(key)

    async def _stop(self, tasks: Collection[asyncio.Task[Any]]) -> None:
        """Stop Kopf and the watches that it leaves behind after an error. A watch may ignore its first cancellation."""
        running = {*tasks, *(task for task in asyncio.all_tasks() if task.get_name().startswith("watcher for "))}
        for _ in range(2):
            for task in running:
                task.cancel()
            if running:
                _, running = await asyncio.wait(running, timeout=self._shutdown_seconds / 2)
        if running:
            log.error("Kopf did not stop within %g s, continuing without it", self._shutdown_seconds)


class _NoStorage(kopf.DiffBaseStorage, kopf.ProgressStorage):
    """Stores nothing. Event handlers need neither the previous object nor their progress, and Kopf would copy each
    object for both, which took longer than the rest of its work."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence({})

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        pass

    def purge(self, **_: Any) -> None:
        pass

    def touch(self, **_: Any) -> None:
        pass


def settings() -> kopf.OperatorSettings:
    """The settings of Kopf."""
    settings = kopf.OperatorSettings()
    settings.persistence.diffbase_storage = settings.persistence.progress_storage = _NoStorage()
    settings.posting.enabled = False  # events.py creates Events
    settings.peering.standalone = True  # lease.py elects the leader
    settings.scanning.disabled = True  # it needs rights on all CRDs and namespaces; run.py detects new kinds
    settings.watching.inactivity_timeout = INACTIVITY_SECONDS
    settings.watching.server_timeout = STREAM_SECONDS
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = _ErrorBackoffs()
    settings.watching.chunk_size = PAGE_SIZE
    settings.watching.field_selectors["secrets"] = ",".join(f"type!={type_}" for type_ in IGNORED_SECRET_TYPES)
    for plural in [*(kind.plural for kind in KINDS), "pods"]:
        settings.watching.label_selectors[plural] = _MANAGED
    return settings
