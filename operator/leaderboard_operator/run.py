"""The composition root: one process with watches, work queue, lease and probes."""

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
from leaderboard_operator.logs import log_context
from leaderboard_operator.metrics import Metrics
from leaderboard_operator.owned_objects import Kinds
from leaderboard_operator.probes import serving
from leaderboard_operator.reconcile import Defaults, Outcome, Reconciler
from leaderboard_operator.resources.view import MANAGED, Key
from leaderboard_operator.watch import Watches
from leaderboard_operator.workqueue import WorkQueue

log = logging.getLogger(__name__)

WORKERS = 4

RETRY_SECONDS = 2.0

RESYNC_SECONDS = 60.0
"""Time between two lists of all Leaderboards, which detect changes without an event."""

FULL_RESYNC_EVERY = 5
"""Number of resyncs after which all Leaderboards are reconciled, changed or not."""

REPORTED_FAILURES = 3
"""Number of consecutive failures from which the error is reported in the status."""

LEADERBOARDS, DEPLOYMENTS = (f"{GROUP}/{API_VERSION}", PLURAL), ("apps/v1", "deployments")

MAX_WATCH_AGE_SECONDS = 3 * RESYNC_SECONDS
"""With a watch that has been incomplete for this time the process must restart."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a process. If `namespaces` is empty, all namespaces are watched."""

    namespaces: tuple[str, ...] = ()
    defaults: Defaults
    lease: str = "leaderboard-operator"
    host: str = "::"
    metrics_port: int = 8080
    health_port: int = 8081


class _KindsChanged(Exception):
    """CRDs of optional kinds were installed or removed."""


class Operator:
    """One process of the operator. It writes only while it holds the lease."""

    def __init__(self, options: Options, configuration: Any, namespace: str) -> None:
        self._options = options
        self._metrics = Metrics()
        self._queue: WorkQueue[Key] = WorkQueue()
        self._kinds_known = asyncio.Event()
        self._failures: dict[Key, int] = {}
        self._stop = asyncio.Event()
        identity = f"{socket.gethostname()}-{uuid4().hex[:8]}"
        count_request = self._metrics.count_request
        self._lease_client = Cluster(configuration, observe=count_request)
        self._lease = Lease(self._lease_client, namespace, options.lease, identity)
        self._cluster = Cluster(configuration, may_write=lambda: self._lease.held, observe=count_request)
        self._reconciler = Reconciler(self._cluster, self._metrics, options.defaults, enqueue=self._enqueue)
        self._watches = Watches(self._enqueue, self._reconciler.secret_users)

    async def run(self) -> None:
        """Run until a signal. Raises errors that need a restart."""
        self._handle_signals()
        options = self._options
        ports = (options.metrics_port, options.health_port)
        async with serving(options.host, ports, self._metrics, self._update_gauges, self._health_problems) as bound:
            log.info("metrics on port %d, probes on port %d", *bound)
            watch = asyncio.create_task(self._watch())
            others = {asyncio.create_task(self._lead()), asyncio.create_task(self._stop.wait())}
            try:
                done, _ = await asyncio.wait({watch, *others}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await self._close(watch, others)
            for task in done:
                task.result()

    async def _close(self, watch: asyncio.Task[None], others: set[asyncio.Task[Any]]) -> None:
        """Release the lease before Kopf stops, which may take seconds."""
        await _cancel(others)
        await self._lease.release()
        await _cancel({watch})
        await self._cluster.close()
        await self._lease_client.close()

    async def _watch(self) -> None:
        """Watch the kinds of the cluster. A change of kinds restarts the watches, which list all objects again."""
        while True:
            kinds = await self._discover_kinds()
            self._kinds_known.set()
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._watches.run(kinds, self._options.namespaces, self._handle_signals))
                    group.create_task(self._detect_changed_kinds(kinds))
            except* _KindsChanged as changed:
                log.info("the kinds of the cluster have changed, restarting the watches: %s", changed.exceptions[0])

    async def _detect_changed_kinds(self, kinds: Kinds) -> None:
        """Raise _KindsChanged after a CRD was installed or removed."""
        while True:
            await asyncio.sleep(RESYNC_SECONDS)
            try:
                current = await self._reconciler.discover()
            except (ApiError, Unreachable) as error:
                log.warning("discovery of kinds failed, retrying: %s", error)
                continue
            if current != kinds:
                raise _KindsChanged(", ".join(sorted(kind.plural for kind in {*current} ^ {*kinds})))

    def _handle_signals(self) -> None:
        """Called at start and after Kopf has installed its handlers, so that the lease is released first."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)

    async def _lead(self) -> None:
        await self._kinds_known.wait()
        await self._lease.acquire()
        self._watches.freshness.reset()
        async with asyncio.TaskGroup() as group:
            for work in (self._lease.renew(), self._resync(), self._reconcile()):
                group.create_task(work)

    async def _reconcile(self) -> None:
        """Process the queue, after the rollouts of an earlier leader have been counted."""
        while (deployments := await self._deployments()) is None:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(RETRY_SECONDS)
        self._reconciler.inherit_rollouts(deployments)
        await self._queue.run(self._work, WORKERS)

    async def _deployments(self) -> dict[Key, dict[str, Any]] | None:
        """The Deployments of Leaderboards; None after an error."""
        leaderboards, deployments = await self._list(), await self._list(DEPLOYMENTS, MANAGED)
        if leaderboards is None or deployments is None:
            return None
        return {key: live for key, live in deployments.items() if key in leaderboards}

    async def _discover_kinds(self) -> Kinds:
        """The kinds of the cluster. Waits for the CRD of Leaderboards, because Kopf looks for it only once."""
        while True:
            try:
                if await self._cluster.find(f"/apis/{GROUP}/{API_VERSION}") is not None:
                    return await self._reconciler.discover()
                log.warning("the CRD of Leaderboards is not installed, retrying; `leaderboard-operator crd` prints it")
            except (ApiError, Unreachable) as error:
                log.warning("discovery of kinds failed, retrying: %s", error)
            await asyncio.sleep(RETRY_SECONDS)

    async def _resync(self) -> None:
        """Enqueue all Leaderboards at the beginning of leadership and periodically, and check the watch."""
        resyncs = 0
        while True:
            listed = await self._list()
            if listed is not None:
                versions = {key: live["metadata"]["resourceVersion"] for key, live in listed.items()}
                self._watches.freshness.compare(versions)
                for key in listed if resyncs % FULL_RESYNC_EVERY == 0 else ():
                    self._enqueue(key)
                resyncs += 1
            await asyncio.sleep(RESYNC_SECONDS if listed is not None else RETRY_SECONDS)

    async def _list(
        self, kind: tuple[str, str] = LEADERBOARDS, labels: dict[str, str] | None = None
    ) -> dict[Key, dict[str, Any]] | None:
        """All objects of a kind in the watched namespaces; None after an error.

        Namespaces that do not exist, or in which the operator has no rights, are omitted.
        """
        objects: dict[Key, dict[str, Any]] = {}
        try:
            for namespace in self._options.namespaces or (None,):
                for live in await self._list_namespace(Collection(*kind, namespace), labels):
                    meta = live["metadata"]
                    objects[meta["namespace"], meta["name"]] = live
        except (ApiError, Unreachable) as error:
            log.warning("list of %s failed, retrying: %s", kind[1], error)
            return None
        return objects

    async def _list_namespace(self, collection: Collection, labels: dict[str, str] | None) -> list[dict[str, Any]]:
        """The objects of a namespace, or of all namespaces. A forbidden namespace has none."""
        namespace = collection.namespace
        try:
            objects = await self._cluster.list(collection(), labels)
        except ApiError as error:
            if namespace is None or error.status != HTTPStatus.FORBIDDEN:
                raise
            log.warning("list of namespace %s failed, continuing with the others: %s", namespace, error)
            self._metrics.set_namespace(namespace, reachable=False)
            return []
        if namespace is not None:
            self._metrics.set_namespace(namespace, reachable=True)
        return objects

    def _enqueue(self, key: Key, delay: float = 0.0) -> None:
        self._metrics.adds.inc()
        self._queue.add(key, delay)

    async def _work(self, key: Key) -> float | None:
        start, min_delay = time.monotonic(), 0.0
        with log_context(key):
            try:
                outcome = await self._reconciler.reconcile(key)
                result = "requeue" if outcome.failed else "requeue_after" if outcome.requeue_after else "success"
                self._failures.pop(key, None)
            except Exception as error:  # noqa: BLE001 - `_on_failure` logs it; other Leaderboards are not affected
                await self._on_failure(key, error)
                min_delay = error.retry_after if isinstance(error, ApiError) else 0.0
                outcome, result = Outcome(failed=True), "error"
            seconds = time.monotonic() - start
            log.debug("reconciled", extra={"event": "reconcile", "result": result, "seconds": round(seconds, 3)})
        self._metrics.count_reconcile(result)
        self._metrics.seconds.observe(seconds)
        if outcome.requeue_after is not None:
            self._enqueue(key, outcome.requeue_after)
        return min_delay if outcome.failed else None

    async def _on_failure(self, key: Key, error: Exception) -> None:
        """Log an error. If it persists, report it in the status of the Leaderboard."""
        if isinstance(error, ApiError | Unreachable | NotLeading):
            text = str(error)
            log.warning("reconcile failed, retrying: %s", text)
        else:
            text = f"{type(error).__name__}; the log of the operator has its traceback"  # its text may have secrets
            log.exception("reconcile failed with an unexpected error, retrying")
        self._failures[key] = self._failures.get(key, 0) + 1
        if self._failures[key] >= REPORTED_FAILURES:
            try:
                await self._reconciler.report(key, text)
            except (ApiError, Unreachable, NotLeading) as failure:
                log.warning("error not written to the status: %s", failure)

    def _update_gauges(self) -> None:
        self._metrics.depth.set(self._queue.depth)
        self._metrics.leading.set(self._lease.held)
        self._metrics.watch_age.set(self._watches.freshness.age if self._lease.held else 0)

    def _health_problems(self) -> list[str]:
        """The reasons for a restart of this process."""
        age = self._watches.freshness.age if self._lease.held else 0
        return [f"the watch of Leaderboards has missed changes for {age:.0f} s"] if age > MAX_WATCH_AGE_SECONDS else []


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def main(options: Options) -> None:
    await Operator(options, await configure(), own_namespace()).run()
