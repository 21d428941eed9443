"""A man in the middle between an operator and the API server: passes all on, and can refuse, cut or count requests."""

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

Judge = Callable[[str, str], int | None]
"""Method and path in; a status to refuse the request with out, or None to pass it on."""


def passes(method: str, path: str) -> None:
    """Refuse nothing."""


class Middleman:
    """Serves plain HTTP on loopback in a thread of its own; a context manager."""

    def __init__(self, cluster: Cluster) -> None:
        self._upstream = cluster.url
        self._tls = ssl.create_default_context(cafile=str(cluster.folder / "ca.crt"))
        self._port = free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._up = threading.Event()
        self._streams: set[asyncio.Task[Any]] = set()
        self.judge: Judge = passes
        self.refused: list[tuple[str, str, int]] = []
        self.written: Callable[[str, str], None] = passes
        """Told of each write that the API server has answered, before the operator hears of it."""

    def __enter__(self) -> Middleman:
        self._thread.start()
        assert self._up.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        assert not self._thread.is_alive()

    def between(self, operator: Operator) -> Operator:
        """Have an operator that is not started yet talk to us."""
        config = json.loads(operator.kubeconfig.read_text())
        config["clusters"][0]["cluster"] = {"server": f"http://{HOST}:{self._port}"}
        operator.kubeconfig.write_text(json.dumps(config))
        return operator

    def cut(self) -> None:
        """Close all watches."""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
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
        app.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=10)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self._port).start()

    async def _stop(self) -> None:
        self._cut()
        await self._runner.cleanup()
        await self._session.close()
        await self._loop.shutdown_asyncgens()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        status = self.judge(request.method, request.path_qs)
        if status is not None:
            self.refused.append((request.method, request.path_qs, status))
            return self._refusal(status, watch=request.query.get("watch") == "true")
        if request.query.get("watch") == "true":
            return await self._watch(request)
        body = await request.read()
        async with self._asked(request, body) as answer:
            content = await answer.read()
            if request.method in WRITES:
                self.written(request.method, request.path)
            return web.Response(status=answer.status, body=content, headers=self._kept(answer))

    def _asked(self, request: web.Request, body: bytes = b"") -> Any:
        """The API server's answer, as a context manager."""
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        url = self._upstream + request.raw_path
        return self._session.request(request.method, url, headers=headers, data=body or None)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        """Can be cut from its first moment on: it then ends, or is empty."""
        response = web.StreamResponse()
        task = asyncio.ensure_future(self._pump(request, response))
        self._streams.add(task)
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
            self._streams.discard(task)
        return response

    async def _pump(self, request: web.Request, response: web.StreamResponse) -> None:
        async with self._asked(request) as answer:
            response.set_status(answer.status)
            response.headers.update(self._kept(answer))
            try:
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
            except ConnectionError:
                return  # the operator is gone
            finally:
                if answer.connection is not None:  # not at its end; the goodbye of TLS could outlive our loop
                    answer.connection.transport.abort()

    @staticmethod
    def _kept(answer: Any) -> dict[str, str]:
        return {name: answer.headers[name] for name in ("Content-Type", "Content-Encoding") if name in answer.headers}

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
        if watch and status == HTTPStatus.GONE:  # the API server says it in the stream
            return web.Response(text=json.dumps({"type": "ERROR", "object": body}) + "\n")
        return web.json_response(body, status=status)
