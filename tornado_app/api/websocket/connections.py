"""What all sockets share: the hub, the bounds on how many there may be, and who is connected."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Protocol

from tornado.httputil import HTTPServerRequest

from tornado_app.api.authentication import Door
from tornado_app.core.errors import TooManyConnections
from tornado_app.http.client_address import Proxies, site
from tornado_app.http.cors import Cors
from tornado_app.live.hub import Hub
from tornado_app.observability.metrics import Metrics

GOING_AWAY = 1001


class Closing(Protocol):
    """An open socket."""

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Say goodbye."""


class Gate:
    """Lets sockets in, and counts them by address."""

    def __init__(
        self,
        hub: Hub,
        door: Door,
        cors: Cors,
        metrics: Metrics,
        *,
        proxies: Proxies | None = None,
        max_connections: int = 20_000,
        max_per_address: int = 100,
    ) -> None:
        self.hub = hub
        self.door = door
        self.cors = cors
        self.metrics = metrics
        self._proxies = proxies or Proxies()
        self._max_connections = max_connections
        self._max_per_address = max_per_address
        self._by_address: Counter[str] = Counter()
        self.open: set[Closing] = set()
        metrics.socket_limit.set(max_connections)

    def address(self, request: HTTPServerRequest) -> str:
        """Where a handshake comes from."""
        return self._proxies.client(request.remote_ip or "", request.headers.get("X-Forwarded-For"))

    def check_room(self, address: str) -> None:
        """Raises TooManyConnections where this process, or the address, has as many sockets as it may."""
        if len(self.open) >= self._max_connections:
            raise TooManyConnections(
                "Too many clients are connected.",
                reason="sockets_of_process",
                detail=f"max_connections {self._max_connections} of this process are open",
            )
        if self._by_address[site(address)] >= self._max_per_address:
            raise TooManyConnections(
                reason="sockets_of_address",
                detail=f"{site(address)} has max_connections_per_address {self._max_per_address} open",
            )

    def enter(self, handler: Closing, channel: str, address: str) -> None:
        """One more socket is open."""
        self.open.add(handler)
        self._by_address[site(address)] += 1
        self.metrics.sockets.labels(channel).inc()
        self.metrics.sockets_opened.labels(channel).inc()

    def leave(self, handler: Closing, channel: str, address: str) -> None:
        """It is open no more, if it was."""
        if handler not in self.open:
            return
        self.open.discard(handler)
        self.metrics.sockets.labels(channel).dec()
        self._by_address[site(address)] -= 1
        if not self._by_address[site(address)]:
            del self._by_address[site(address)]

    async def close(self, seconds: float) -> None:
        """Tell every client that this process goes away, spread over `seconds`, so that they don't all come at once."""
        handlers = list(self.open)
        for handler in handlers:
            handler.close(GOING_AWAY, "going away")
            await asyncio.sleep(seconds / len(handlers))
