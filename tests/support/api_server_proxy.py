"""A proxy between an operator and the API server, which can refuse requests and close watches."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

from tests.support.cluster import HOST, Cluster
from tests.support.operator import Operator
from tornado_app.mongo.embedded.mongod import free_port

WRITES = ("POST", "PUT", "PATCH", "DELETE")
HOP_BY_HOP = ("host", "transfer-encoding", "content-length", "connection", "content-encoding")

Refusal = Callable[[str, str], int | None]
"""Receives method and path; returns the status of a refusal, or None to forward the request."""


def forward(method: str, path: str) -> None:
    """Refuse no request."""


class ApiServerProxy:
    """A context manager that serves plain HTTP on loopback in its own thread.

    `refuse` decides on each request, `refused` has the refusals. `on_write` is called after the API server has
    responded to a write, before the operator receives the response.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._upstream = cluster.url
        self._tls = ssl.create_default_context(cafile=str(cluster.folder / "ca.crt"))
        self._port = free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._up = threading.Event()
        self._streams: set[asyncio.Task[Any]] = set()
        self.refuse: Refusal = forward
        self.refused: list[tuple[str, str, int]] = []
        self.on_write: Callable[[str, str], None] = forward

    def __enter__(self) -> ApiServerProxy:
        self._thread.start()
        assert self._up.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        assert not self._thread.is_alive()

    def redirect(self, operator: Operator) -> Operator:
        """Make an operator that has not started yet connect to this proxy."""
        config = json.loads(operator.kubeconfig.read_text())
        config["clusters"][0]["cluster"] = {"server": f"http://{HOST}:{self._port}"}
        operator.kubeconfig.write_text(json.dumps(config))
        return operator

    def close_watches(self) -> None:
        self._loop.call_soon_threadsafe(self._close_watches)

    def _close_watches(self) -> None:
        for task in self._streams:
            task.cancel()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._up.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._stop())
        self._loop.close()

    async def _start(self) -> None:
        self._session = ClientSession(
            connector=TCPConnector(ssl=self._tls, limit=0),
            timeout=ClientTimeout(total=None),
            auto_decompress=False,
        )
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=10)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self._port).start()

    async def _stop(self) -> None:
        self._close_watches()
        await self._runner.cleanup()
        await self._session.close()
        await self._loop.shutdown_asyncgens()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        status = self.refuse(request.method, request.path_qs)
        if status is not None:
            self.refused.append((request.method, request.path_qs, status))
            return self._refusal(status, watch=request.query.get("watch") == "true")
        if request.query.get("watch") == "true":
            return await self._watch(request)
        body = await request.read()
        async with self._forward(request, body) as response:
            content = await response.read()
            if request.method in WRITES:
                self.on_write(request.method, request.path)
            return web.Response(status=response.status, body=content, headers=self._headers(response))

    def _forward(self, request: web.Request, body: bytes = b"") -> Any:
        """The response of the API server, as a context manager."""
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        url = self._upstream + request.raw_path
        return self._session.request(request.method, url, headers=headers, data=body or None)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        """Forward a watch. `close_watches` may end it at any time, also before its first event."""
        response = web.StreamResponse()
        task = asyncio.ensure_future(self._stream(request, response))
        self._streams.add(task)
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
            self._streams.discard(task)
        return response

    async def _stream(self, request: web.Request, response: web.StreamResponse) -> None:
        async with self._forward(request) as upstream:
            response.set_status(upstream.status)
            response.headers.update(self._headers(upstream))
            try:
                await response.prepare(request)
                async for chunk in upstream.content.iter_any():
                    await response.write(chunk)
            except ConnectionError:
                return  # the operator has exited
            finally:
                if (
                    upstream.connection is not None
                ):  # still open; closing TLS could take longer than the event loop exists
                    upstream.connection.transport.abort()

    @staticmethod
    def _headers(upstream: Any) -> dict[str, str]:
        return {
            name: upstream.headers[name] for name in ("Content-Type", "Content-Encoding") if name in upstream.headers
        }

    @staticmethod
    def _refusal(status: int, *, watch: bool) -> web.Response:
        body = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "reason": HTTPStatus(status).phrase.replace(" ", ""),
            "message": "refused by the test",
            "code": status,
        }
        if watch and status == HTTPStatus.GONE:  # the API server sends it in the stream
            return web.Response(text=json.dumps({"type": "ERROR", "object": body}) + "\n")
        return web.json_response(body, status=status)
