"""The metrics port of several processes: `/metrics`, `/healthz` and `/readyz` aggregate all workers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from tornado_app.api.rest.probes import ProbeEndpoints
from tornado_app.config import Config
from tornado_app.http import server
from tornado_app.http.cors import Cors
from tornado_app.http.dispatcher import Dispatcher
from tornado_app.http.messages import Request, Response, Route, Router
from tornado_app.http.tornado_delegate import Delegate
from tornado_app.observability.aggregation import AggregatedCollector, families
from tornado_app.observability.metrics import Metrics
from tornado_app.processes.channel import Topic
from tornado_app.processes.worker_handle import WorkerHandle
from tornado_app.service import listeners

CLOSE_TIMEOUT = 1.0
"""Maximum seconds until open connections are closed."""

_OWN_GAUGES = frozenset({
    "leaderboard_processes", "leaderboard_ready", "leaderboard_draining",
    "process_virtual_memory_bytes", "process_resident_memory_bytes",
})  # fmt: skip
"""Gauges that the supervisor reports itself; all others come from the workers."""


class AggregatedProbes:
    """`/metrics`, `/healthz` and `/readyz` for all `workers`, of which None is being started.

    `metrics`: those of the supervisor itself. `collector`: those of all processes.
    """

    def __init__(self, workers: Sequence[WorkerHandle | None]) -> None:
        self.metrics = Metrics()
        self.collector = AggregatedCollector()
        self.draining = False
        self._workers = workers
        registry = CollectorRegistry()
        registry.register(self.collector)
        self._probes = ProbeEndpoints(registry, self._reasons, self._measure)
        routes = [
            Route("/healthz", {"GET": self._probes.healthz}),
            Route("/readyz", {"GET": self._readyz}),
            Route("/metrics", {"GET": self._all_metrics}),
        ]
        dispatcher = Dispatcher(Router(routes), metrics=self.metrics, cors=Cors())
        self._server = server.serve(Delegate(dispatcher))

    def listen(self, config: Config) -> str:
        """Open the port; the URL of the metrics. Raises StartupError."""
        return listeners.bind_metrics(self._server, config)

    async def close(self) -> None:
        """Close the port."""
        self._server.stop()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._server.close_all_connections()
        except TimeoutError:
            return  # open connections end with the process

    async def _all_metrics(self, request: Request) -> Response:
        """If a worker does not report in time, its previous report is used."""
        await self._request("metrics")
        return self._probes.metrics(request)

    async def _readyz(self, request: Request) -> Response:
        """A worker that does not report in time is not ready."""
        for worker in await self._request("readiness"):
            worker.reasons = ["a process does not answer"]
        return self._probes.readyz(request)

    async def _request(self, topic: Topic) -> list[WorkerHandle]:
        """Request a report of each worker; returns those that did not send it in time."""
        workers = self._serving()
        in_time = await asyncio.gather(*(worker.request(topic) for worker in workers))
        return [worker for worker, reported in zip(workers, in_time, strict=True) if not reported]

    def _serving(self) -> list[WorkerHandle]:
        return [worker for worker in self._workers if worker is not None and worker.ready]

    def _measure(self) -> None:
        """Update the supervisor's own metrics, such as the number of processes."""
        serving = self._serving()
        self.metrics.processes.set(len(serving))
        self.metrics.draining.set(self.draining)
        self.metrics.ready.set(not self.draining and len(serving) == len(self._workers))
        own = [each for each in families(self.metrics) if each.kind != "gauge" or each.name in _OWN_GAUGES]
        self.collector.update(os.getpid(), own)

    def _reasons(self) -> list[str]:
        """Why the service is not ready: the reasons of all workers, without duplicates."""
        found = {"draining": None} if self.draining else {}
        serving = self._serving()
        if len(serving) < len(self._workers):
            found["not all processes run"] = None
        for worker in serving:
            found.update(dict.fromkeys(worker.reasons))
        return list(found)
