"""The port of the metrics where there are several processes: one scrape tells about all of them."""

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
from tornado_app.observability.aggregation import Joined, families
from tornado_app.observability.metrics import Metrics
from tornado_app.processes.channel import Topic
from tornado_app.processes.child import Child
from tornado_app.service import listeners

CLOSE_TIMEOUT = 1.0
"""Seconds that open connections get to end."""

_OWN_GAUGES = frozenset({
    "leaderboard_processes", "leaderboard_ready", "leaderboard_draining",
    "process_virtual_memory_bytes", "process_resident_memory_bytes",
})  # fmt: skip
"""The others are for those who serve to tell."""


class Operations:
    """`/metrics`, `/healthz` and `/readyz` for all `children`; None is a place whose process is being started.

    `metrics` are the supervisor's own, `joined` everybody's.
    """

    def __init__(self, children: Sequence[Child | None]) -> None:
        self.metrics = Metrics()
        self.joined = Joined()
        self.draining = False
        self._children = children
        registry = CollectorRegistry()
        registry.register(self.joined)
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
            return  # who still reads is cut off with the process

    async def _all_metrics(self, request: Request) -> Response:
        """From who does not answer in time, what it told last."""
        await self._ask("metrics")
        return self._probes.metrics(request)

    async def _readyz(self, request: Request) -> Response:
        await self._ask("readiness")
        return self._probes.readyz(request)

    async def _ask(self, topic: Topic) -> None:
        await asyncio.gather(*(child.ask(topic) for child in self._serving()))

    def _serving(self) -> list[Child]:
        return [child for child in self._children if child is not None and child.ready]

    def _measure(self) -> None:
        """Add what is the supervisor's to know: what it counts, and how many processes there are."""
        serving = self._serving()
        self.metrics.processes.set(len(serving))
        self.metrics.draining.set(self.draining)
        self.metrics.ready.set(not self.draining and len(serving) == len(self._children))
        own = [each for each in families(self.metrics) if each.kind != "gauge" or each.name in _OWN_GAUGES]
        self.joined.put(os.getpid(), own)

    def _reasons(self) -> list[str]:
        """Why no traffic should come: what any process says, each once."""
        found = {"draining": None} if self.draining else {}
        serving = self._serving()
        if len(serving) < len(self._children):
            found["not all processes run"] = None
        for child in serving:
            found.update(dict.fromkeys(child.reasons))
        return list(found)
