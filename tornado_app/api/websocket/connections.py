"""The open WebSockets of this process, with limits of their number."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from tornado.httputil import HTTPServerRequest

from tornado_app.api.authentication import Authenticator
from tornado_app.api.board_routes import board_not_found, period_not_found, periods_of
from tornado_app.core.boards import View
from tornado_app.core.errors import TooManyConnections
from tornado_app.http.client_address import TrustedProxies, rate_limit_key
from tornado_app.http.cors import Cors
from tornado_app.live.hub import Hub, Topic
from tornado_app.observability.metrics import Metrics

GOING_AWAY = 1001


class Closing(Protocol):
    """An open WebSocket."""

    @property
    def view(self) -> View | None:
        """The view that it shows; None once it is closed."""

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Close the connection."""


class ConnectionRegistry:
    """The open WebSockets, counted by client address, and what their handlers share.

    `topics`: those of the served boards, as the `views` of a BoardRouter.
    """

    def __init__(
        self,
        hub: Hub,
        authenticator: Authenticator,
        cors: Cors,
        metrics: Metrics,
        *,
        proxies: TrustedProxies | None = None,
        max_connections: int = 20_000,
        max_per_address: int = 100,
    ) -> None:
        self.hub = hub
        self.topics: dict[View, Topic] = {}
        self.authenticator = authenticator
        self.cors = cors
        self.metrics = metrics
        self._proxies = proxies or TrustedProxies()
        self._max_connections = max_connections
        self._max_per_address = max_per_address
        self._by_address: Counter[str] = Counter()
        self.connections: set[Closing] = set()
        metrics.socket_limit.set(max_connections)

    def address(self, request: HTTPServerRequest) -> str:
        return self._proxies.client_address(request.remote_ip or "", request.headers.get("X-Forwarded-For"))

    def check_limits(self, address: str) -> None:
        """Raises TooManyConnections if this process or the address has its maximum number of WebSockets."""
        if len(self.connections) >= self._max_connections:
            raise TooManyConnections(
                "Too many clients are connected.",
                reason="sockets_of_process",
                detail=f"max_connections {self._max_connections} of this process are open",
            )
        if self._by_address[rate_limit_key(address)] >= self._max_per_address:
            raise TooManyConnections(
                reason="sockets_of_address",
                detail=f"{rate_limit_key(address)} has max_connections_per_address {self._max_per_address} open",
            )

    def add(self, handler: Closing, channel: str, address: str) -> None:
        self.connections.add(handler)
        self._by_address[rate_limit_key(address)] += 1
        self.metrics.sockets.labels(channel).inc()
        self.metrics.sockets_opened.labels(channel).inc()

    def remove(self, handler: Closing, channel: str, address: str) -> None:
        """Remove a WebSocket, if it was added."""
        if handler not in self.connections:
            return
        self.connections.discard(handler)
        self.metrics.sockets.labels(channel).dec()
        self._by_address[rate_limit_key(address)] -= 1
        if not self._by_address[rate_limit_key(address)]:
            del self._by_address[rate_limit_key(address)]

    def topic(self, board: str, period: str | None = None) -> Topic:
        """The topic of a board, or of one of its periods. Raises BoardNotFound and PeriodNotFound."""
        topic = self.topics.get(View(board, period))
        if topic is not None:
            return topic
        if period is None or View(board) not in self.topics:
            raise board_not_found(board, self.topics)
        raise period_not_found(period, periods_of(board, self.topics))

    async def close(self, seconds: float, shows: Callable[[View], bool] = lambda view: True) -> None:
        """Close all WebSockets, or those that show some views.

        This is spread over `seconds`, so that the clients do not all reconnect at once.
        """
        handlers = [handler for handler in self.connections if handler.view is not None and shows(handler.view)]
        for handler in handlers:
            handler.close(GOING_AWAY, "going away")
            await asyncio.sleep(seconds / len(handlers))
