"""The HTTP endpoints for the kubelet and Prometheus: /healthz, /readyz and /metrics."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from leaderboard_operator.metrics import Metrics


@asynccontextmanager
async def serving(
    host: str, ports: Sequence[int], metrics: Metrics, refresh: Callable[[], None], problems: Callable[[], list[str]]
) -> AsyncIterator[list[int]]:
    """Serve on these ports, and yield the actual ones. `refresh` updates gauges before each scrape.

    `problems` returns the reasons for a restart of the process.
    """

    async def health(_: web.Request) -> web.Response:
        lines = problems()
        return web.Response(status=503 if lines else 200, text="\n".join(lines) or "ok")

    async def scrape(request: web.Request) -> web.Response:
        refresh()
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(metrics.registry), headers={"Content-Type": content_type})

    app = web.Application()
    app.add_routes([web.get("/healthz", health), web.get("/readyz", health), web.get("/metrics", scrape)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        for port in ports:
            await web.SockSite(runner, _listen(host, port)).start()
        yield [address[1] for address in runner.addresses]
    finally:
        await runner.cleanup()


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket. `::` is all addresses of IPv6 and IPv4; without IPv6, all addresses of IPv4."""
    if host == "::" and socket.has_dualstack_ipv6():
        return socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=True)
    if host == "::":
        host = "0.0.0.0"  # noqa: S104 - a pod has only its own address
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
