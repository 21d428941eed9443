"""Endpoints for orchestrators and Prometheus: liveness, readiness, metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from tornado_app.api.rest.operations import PROBE, Method, Operation, Outcome, Tag, handles, routes_of
from tornado_app.http.messages import JSON_TYPE, Request, Response, Route

NO_STORE = ("Cache-Control", "no-store")


class Health(msgspec.Struct, omit_defaults=True):
    """`ok`, or `unavailable` with the reasons."""

    status: Literal["ok", "unavailable"]
    reasons: list[str] = []


_HEADERS = ("Cache-Control",)


def _handles(path: str, summary: str, outcomes: dict[int, Outcome]) -> Callable[[Method], Method]:
    """A kubelet probes a pod by its address, so probes answer under any host name."""
    tag = Tag("Operations", "Probes of an orchestrator. `/metrics` has a port of its own.")
    return handles(
        Operation(method="GET", path=path, tag=tag, summary=summary, outcomes=outcomes, errors=PROBE, any_host=True)
    )


class ProbeEndpoints:
    """`/healthz`, `/readyz` and `/metrics`. `not_ready` returns the reasons why the process is not ready, if any."""

    def __init__(
        self, registry: CollectorRegistry, not_ready: Callable[[], list[str]], refresh: Callable[[], None]
    ) -> None:
        self._registry = registry
        self._not_ready = not_ready
        self._refresh = refresh

    def health_routes(self) -> list[Route]:
        """For the public port."""
        return routes_of(self)

    def inner_routes(self) -> list[Route]:
        """For the metrics port."""
        return [*self.health_routes(), Route("/metrics", {"GET": self.metrics})]

    @_handles("/healthz", "Report whether the process is alive.", {200: Outcome("Alive.", Health("ok"), _HEADERS)})
    def healthz(self, request: Request) -> Response:
        return Response(200, msgspec.json.encode(Health("ok")), (JSON_TYPE, NO_STORE))

    @_handles(
        "/readyz",
        "Report whether the process is ready for traffic.",
        {
            200: Outcome("Ready.", Health("ok"), _HEADERS),
            503: Outcome("Not ready, with the reasons.", Health("unavailable", ["draining"]), _HEADERS),
        },
    )
    def readyz(self, request: Request) -> Response:
        reasons = self._not_ready()
        if reasons:
            return Response(503, msgspec.json.encode(Health("unavailable", reasons)), (JSON_TYPE, NO_STORE))
        return Response(200, msgspec.json.encode(Health("ok")), (JSON_TYPE, NO_STORE))

    def metrics(self, request: Request) -> Response:
        """All metrics, in the format that the Accept header asks for."""
        self._refresh()
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(200, encode(self._registry), (("Content-Type", content_type),))
