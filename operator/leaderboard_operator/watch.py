"""Watching, by Kopf: each event of a Leaderboard, or of what belongs to one, puts that Leaderboard into the queue.

Only `on.event` handlers are used: they keep nothing on the resources, neither annotations nor finalizers, and an event
that is lost or comes twice does no harm. Changes that no event told of are found by `Freshness`.
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
from leaderboard_operator.resources.names import DROP_LABEL, MANAGED, NAME_LABEL, Key

log = logging.getLogger(__name__)

Object = dict[str, Any]

SILENCE_SECONDS = 70.0
"""A watch without an event or a bookmark, which come each minute, is dead, and is begun again."""

END_SECONDS = 10.0
"""Within which Kopf has to end."""

STREAM_SECONDS = 240
"""Watches end and begin again this often in any case."""


class _Retries(Iterable[float]):
    """Seconds between tries while the API server refuses, without end: a namespace may come back at any time."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((1, 1, 2, 3, 5, 8), itertools.repeat(15))


LEFT_OUT_SECRETS = ("helm.sh/release.v1", "kubernetes.io/service-account-token", "kubernetes.io/dockerconfigjson")
"""Types of Secrets that no Leaderboard refers to, and of which ordinary clusters hold hundreds of megabytes."""

CHUNK = 100
"""Objects in one answer to a list."""

IDENTITY: Any = MANAGER
"""In Kopf's peering, which is off. Left to itself Kopf asks for the user's name, and DNS for the host's."""

_MANAGED = ",".join(f"{name}={value}" for name, value in MANAGED.items())


class WatchEnded(Exception):
    """There is no watch any more."""


class Freshness:
    """Whether the watch of Leaderboards tells of all changes: held against a list of them from time to time."""

    def __init__(self) -> None:
        self._seen: dict[Key, int] = {}
        self._behind: dict[Key, int] = {}
        self._in_step_at = asyncio.get_running_loop().time()

    @property
    def age(self) -> float:
        """Seconds since the watch was last in step."""
        return asyncio.get_running_loop().time() - self._in_step_at

    def begin(self) -> None:
        """Count from now on: no version was compared before."""
        self._in_step_at = asyncio.get_running_loop().time()

    def saw(self, key: Key, version: str) -> None:
        """The watch told of a version."""
        self._seen[key] = max(int(version), self._seen.get(key, 0))

    def compare(self, listed: dict[Key, str]) -> None:
        """A list told of these versions. Whatever an earlier list told of as well, the watch must have."""
        if all(self._seen.get(key, 0) >= version for key, version in self._behind.items() if key in listed):
            self._in_step_at = asyncio.get_running_loop().time()
        now = {key: int(version) for key, version in listed.items()}
        self._behind = {key: version for key, version in now.items() if self._seen.get(key, 0) < version}
        self._seen = {key: version for key, version in self._seen.items() if key in now}


class Watches:
    """What is watched: `add` puts a Leaderboard into the queue."""

    def __init__(self, add: Callable[[Key], None], users: Callable[[str, str], Collection[Key]]) -> None:
        """`users`: the Leaderboards that use a Secret, by its namespace and name."""
        self._add = add
        self._users = users
        self.freshness = Freshness()

    async def run(self, kinds: Iterable[Kind], namespaces: Collection[str], take_signals: Callable[[], None]) -> None:
        """Watch until cancelled, in some namespaces or (none) in all; raises what ended a watch.

        `take_signals` is called once Kopf has taken them for itself.
        """
        stop = asyncio.Event()
        parts = await kopf.spawn_tasks(
            registry=self._registry(kinds),
            settings=settings(),
            clusterwide=not namespaces,
            namespaces=namespaces,
            standalone=True,
            identity=IDENTITY,
            stop_flag=stop,
        )
        take_signals()
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.set()  # or Kopf would have the process killed later, as one that does not end
            await _end(parts)
        for part in parts:
            if part.done() and not part.cancelled():
                part.result()
        raise WatchEnded("Kopf has ended, and does not say why")

    def _registry(self, kinds: Iterable[Kind]) -> kopf.OperatorRegistry:
        """What Kopf is to watch: Leaderboards, their objects, which are of these `kinds`, their pods, and Secrets."""
        found = kopf.OperatorRegistry()
        login = kopf.login_with_kubeconfig if os.environ.get("KUBECONFIG") else kopf.login_with_service_account
        kopf.on.login(registry=found)(login)
        kopf.on.event(GROUP, API_VERSION, PLURAL, registry=found)(self._leaderboard)
        kopf.on.event("", "v1", "secrets", registry=found)(self._secret)
        kopf.on.event("", "v1", "pods", registry=found)(self._child)
        for group, version, plural in {(kind.group, kind.version, kind.plural) for kind in kinds}:
            kopf.on.event(group, version, plural, registry=found)(self._child)
        return found

    async def _leaderboard(self, body: kopf.Body, **_: Any) -> None:
        meta = body["metadata"]
        key = (meta["namespace"], meta["name"])
        self.freshness.saw(key, meta["resourceVersion"])
        self._add(key)

    async def _child(self, body: kopf.Body, **_: Any) -> None:
        """An object of a Leaderboard; pods, which belong to a ReplicaSet, tell by their label."""
        meta = body["metadata"]
        owners = [each["name"] for each in meta.get("ownerReferences", []) if each["kind"] == KIND]
        labels = meta.get("labels", {})
        name = owners[0] if owners else labels.get(NAME_LABEL) or labels.get(DROP_LABEL)
        if name:
            self._add((meta["namespace"], name))

    async def _secret(self, body: kopf.Body, **_: Any) -> None:
        for key in self._users(body["metadata"]["namespace"], body["metadata"]["name"]):
            self._add(key)


async def _end(parts: Collection[asyncio.Task[Any]]) -> None:
    """End Kopf, with the watches that it leaves behind when one fails. A watch may swallow its first cancellation."""
    left = {*parts, *(task for task in asyncio.all_tasks() if task.get_name().startswith("watcher for "))}
    for _ in range(2):
        for task in left:
            task.cancel()
        if left:
            _, left = await asyncio.wait(left, timeout=END_SECONDS / 2)
    if left:
        log.error("Kopf has not ended within %g s, and is left", END_SECONDS)


class _NothingKept(kopf.DiffBaseStorage, kopf.ProgressStorage):
    """Handlers of events need neither what an object was before nor how far they got. Kopf would make both of copies of
    each object that it hears of, which took it longer than all the rest."""

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
    """How Kopf is to behave."""
    found = kopf.OperatorSettings()
    found.persistence.diffbase_storage = found.persistence.progress_storage = _NothingKept()
    found.posting.enabled = False  # events.py writes those that matter
    found.peering.standalone = True  # lease.py elects
    found.scanning.disabled = True  # it takes rights on all CRDs and namespaces; run.py looks for kinds that come later
    found.watching.inactivity_timeout = SILENCE_SECONDS
    found.watching.server_timeout = STREAM_SECONDS
    found.networking.request_timeout = 30
    found.networking.error_backoffs = _Retries()
    found.watching.chunk_size = CHUNK
    found.watching.field_selectors["secrets"] = ",".join(f"type!={each}" for each in LEFT_OUT_SECRETS)
    for plural in [*(kind.plural for kind in KINDS), "pods"]:
        found.watching.label_selectors[plural] = _MANAGED
    return found
