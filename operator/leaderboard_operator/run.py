"""The composition root: the watches, the queue, the lease and the probes of one operator."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import msgspec

from leaderboard_operator import API_VERSION, GROUP, PLURAL
from leaderboard_operator.children import Kinds
from leaderboard_operator.cluster import (
    ApiError,
    Cluster,
    Collection,
    NotLeading,
    Unreachable,
    configure,
    own_namespace,
)
from leaderboard_operator.lease import Lease
from leaderboard_operator.logs import about
from leaderboard_operator.metrics import Metrics
from leaderboard_operator.probes import serving
from leaderboard_operator.reconcile import Defaults, Outcome, Reconciler
from leaderboard_operator.resources.names import MANAGED, Key
from leaderboard_operator.watch import Watches
from leaderboard_operator.workqueue import WorkQueue

log = logging.getLogger(__name__)

WORKERS = 4

RETRY_SECONDS = 2.0

RESYNC_SECONDS = 60.0
"""Between two lists of all Leaderboards, which find what no event told of."""

REPAIR_EVERY = 5
"""Resyncs after which all Leaderboards are looked at, changed or not."""

REPORTED_ERRORS = 3
"""Failed reconciles in a row from which the error is written into the status."""

LEADERBOARDS, DEPLOYMENTS = (f"{GROUP}/{API_VERSION}", PLURAL), ("apps/v1", "deployments")

OLDEST_WATCH = 3 * RESYNC_SECONDS
"""A watch that is this far out of step is dead, and the process is to be started anew."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """`namespaces`: those that are watched, none is all. `defaults`: what Leaderboards have in common."""

    namespaces: tuple[str, ...] = ()
    defaults: Defaults
    lease: str = "leaderboard-operator"
    host: str = "::"
    metrics_port: int = 8080
    health_port: int = 8081


class _OtherKinds(Exception):
    """The cluster no longer knows the kinds that are watched."""


class Operator:
    """One process of the operator; it writes while it holds the lease."""

    def __init__(self, options: Options, configuration: Any, namespace: str) -> None:
        self._options = options
        self._metrics = Metrics()
        self._queue: WorkQueue[Key] = WorkQueue()
        self._known = asyncio.Event()
        self._errors: dict[Key, int] = {}
        self._stop = asyncio.Event()
        identity = f"{socket.gethostname()}-{uuid4().hex[:8]}"
        self._lease_client = Cluster(configuration, observe=self._metrics.request)
        self._lease = Lease(self._lease_client, namespace, options.lease, identity)
        self._cluster = Cluster(configuration, may_write=lambda: self._lease.held, observe=self._metrics.request)
        self._reconciler = Reconciler(self._cluster, self._metrics, options.defaults, enqueue=self._add)
        self._watches = Watches(self._add, self._reconciler.users)

    async def run(self) -> None:
        """Run until a signal; raises what makes it impossible to go on."""
        self._take_signals()
        options = self._options
        ports = (options.metrics_port, options.health_port)
        async with serving(options.host, ports, self._metrics, self._refresh, self._faults) as (metrics, health):
            log.info("metrics at port %d, probes at port %d", metrics, health)
            watch = asyncio.create_task(self._watch())
            others = {asyncio.create_task(self._lead()), asyncio.create_task(self._stop.wait())}
            try:
                done, _ = await asyncio.wait({watch, *others}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await self._close(watch, others)
            for task in done:
                task.result()

    async def _close(self, watch: asyncio.Task[None], others: set[asyncio.Task[Any]]) -> None:
        """The lease is another's at once; that Kopf ends may take some seconds."""
        await _end(others)
        await self._lease.release()
        await _end({watch})
        await self._cluster.close()
        await self._lease_client.close()

    async def _watch(self) -> None:
        """Watch what the cluster knows, and begin anew when it knows other kinds: that tells of everything again."""
        while True:
            kinds = await self._kinds()
            self._known.set()
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._watches.run(kinds, self._options.namespaces, self._take_signals))
                    group.create_task(self._compare(kinds))
            except* _OtherKinds as other:
                log.info("the cluster knows other kinds than before: %s", other.exceptions[0])

    async def _compare(self, kinds: Kinds) -> None:
        """Look for kinds whose CRDs come, or go, after us."""
        while True:
            await asyncio.sleep(RESYNC_SECONDS)
            try:
                found = await self._reconciler.discover()
            except (ApiError, Unreachable) as error:
                log.warning("the API server does not say what it knows: %s", error)
                continue
            if found != kinds:
                raise _OtherKinds(", ".join(sorted(each.plural for each in {*found} ^ {*kinds})))

    def _take_signals(self) -> None:
        """At start, and again from Kopf, which takes them for itself: the lease is released first."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)

    async def _lead(self) -> None:
        await self._known.wait()
        await self._lease.acquire()
        self._watches.freshness.begin()
        async with asyncio.TaskGroup() as group:
            for work in (self._lease.keep(), self._resync(), self._reconcile()):
                group.create_task(work)

    async def _reconcile(self) -> None:
        """Work on the queue, once the rollouts of an earlier leader are counted."""
        while (found := await self._deployments()) is None:  # noqa: ASYNC110 - the API server does not tell when it is back
            await asyncio.sleep(RETRY_SECONDS)
        self._reconciler.resume(found)
        await self._queue.run(self._work, WORKERS)

    async def _deployments(self) -> dict[Key, dict[str, Any]] | None:
        """The Deployments of Leaderboards; None where the API server does not answer."""
        boards, found = await self._list(), await self._list(DEPLOYMENTS, MANAGED)
        if boards is None or found is None:
            return None
        return {key: each for key, each in found.items() if key in boards}

    async def _kinds(self) -> Kinds:
        """The kinds that the cluster knows, once it knows Leaderboards: Kopf looks only once."""
        while True:
            try:
                if await self._cluster.find(f"/apis/{GROUP}/{API_VERSION}") is not None:
                    return await self._reconciler.discover()
                log.warning("the cluster does not know Leaderboards yet; `leaderboard-operator crd` prints their CRD")
            except (ApiError, Unreachable) as error:
                log.warning("the API server does not say what it knows: %s", error)
            await asyncio.sleep(RETRY_SECONDS)

    async def _resync(self) -> None:
        """Look at all Leaderboards when we begin to lead, and at times."""
        turn = 0
        while True:
            listed = await self._list()
            if listed is not None:
                versions = {key: live["metadata"]["resourceVersion"] for key, live in listed.items()}
                self._watches.freshness.compare(versions)
                for key in listed if turn % REPAIR_EVERY == 0 else ():
                    self._add(key)
                turn += 1
            await asyncio.sleep(RESYNC_SECONDS if listed is not None else RETRY_SECONDS)

    async def _list(
        self, kind: tuple[str, str] = LEADERBOARDS, labels: dict[str, str] | None = None
    ) -> dict[Key, dict[str, Any]] | None:
        """All objects of a kind in the namespaces that can be listed; None where the API server does not answer.

        A namespace that is gone, or in which the operator has no rights, concerns no other.
        """
        found: dict[Key, dict[str, Any]] = {}
        try:
            for namespace in self._options.namespaces or (None,):
                for each in await self._list_one(Collection(*kind, namespace), labels):
                    meta = each["metadata"]
                    found[meta["namespace"], meta["name"]] = each
        except (ApiError, Unreachable) as error:
            log.warning("the %s cannot be listed: %s", kind[1], error)
            return None
        return found

    async def _list_one(self, collection: Collection, labels: dict[str, str] | None) -> list[dict[str, Any]]:
        """The objects of one namespace, or of all; none of a namespace that is forbidden."""
        namespace = collection.namespace
        try:
            found = await self._cluster.list(collection(), labels)
        except ApiError as error:
            if namespace is None or error.status != HTTPStatus.FORBIDDEN:
                raise
            log.warning("namespace %s cannot be listed, the others are: %s", namespace, error)
            self._metrics.show_namespace(namespace, reachable=False)
            return []
        if namespace is not None:
            self._metrics.show_namespace(namespace, reachable=True)
        return found

    def _add(self, key: Key, delay: float = 0.0) -> None:
        self._metrics.adds.inc()
        self._queue.add(key, delay)

    async def _work(self, key: Key) -> float | None:
        start, least = time.monotonic(), 0.0
        with about(key):
            try:
                outcome = await self._reconciler.reconcile(key)
                result = "requeue" if outcome.failed else "requeue_after" if outcome.again else "success"
                self._errors.pop(key, None)
            except Exception as error:  # noqa: BLE001 - logged by `_failed`; the other Leaderboards go on
                await self._failed(key, error)
                least = error.retry_after if isinstance(error, ApiError) else 0.0
                outcome, result = Outcome(failed=True), "error"
            seconds = time.monotonic() - start
            log.debug("reconciled", extra={"event": "reconcile", "result": result, "seconds": round(seconds, 3)})
        self._metrics.reconciled(result)
        self._metrics.seconds.observe(seconds)
        if outcome.again is not None:
            self._add(key, outcome.again)
        return least if outcome.failed else None

    async def _failed(self, key: Key, error: Exception) -> None:
        """Log an error, and report one that persists in the status of the Leaderboard."""
        if isinstance(error, ApiError | Unreachable | NotLeading):
            text = str(error)
            log.warning("reconcile failed, trying again: %s", text)
        else:
            text = f"{type(error).__name__}; the log of the operator has its traceback"  # its text may hold anything
            log.exception("reconcile failed with an unexpected error, trying again")
        self._errors[key] = self._errors.get(key, 0) + 1
        if self._errors[key] >= REPORTED_ERRORS:
            try:
                await self._reconciler.report(key, text)
            except (ApiError, Unreachable, NotLeading) as failure:
                log.warning("the error could not be written into the status: %s", failure)

    def _refresh(self) -> None:
        self._metrics.depth.set(self._queue.depth)
        self._metrics.leading.set(self._lease.held)
        self._metrics.watch_age.set(self._watches.freshness.age if self._lease.held else 0)

    def _faults(self) -> list[str]:
        """Why this process should be started anew."""
        age = self._watches.freshness.age if self._lease.held else 0
        return [f"the watch of Leaderboards has been out of step for {age:.0f} s"] if age > OLDEST_WATCH else []


async def _end(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def main(options: Options) -> None:
    """Run an operator."""
    await Operator(options, await configure(), own_namespace()).run()
