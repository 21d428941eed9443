"""The ports that the service listens on: looked at before anything is started, and opened when all is ready.

Several processes share one port, each with a socket of its own (SO_REUSEPORT): the kernel deals the connections out,
and one that dies gets no more of them.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from tornado_app.config import Config
from tornado_app.core.errors import StartupError
from tornado_app.runtime.event_loop import crowd

BACKLOG = 4096
"""Connections that the kernel keeps for us in a rush, where its own limit is not lower: who finds no room there tries
again only after a second."""

EVERYWHERE = "::"
"""The host that is every interface, of IPv6 and of IPv4; of IPv4 alone where the machine has no IPv6."""

PER_TURN = 16
"""Connections that are taken before others get their turn: about five milliseconds' work, with the handshakes."""


class Listener(socket.socket):
    """A listening socket that gives Tornado, which would take 128 at once, a few connections in each turn of the loop.

    With some thousand clients that come at once all else would wait for a quarter of a second.
    """

    _taken = 0

    def __init__(self, family: int, kind: int, protocol: int = 0, fileno: int | None = None) -> None:
        super().__init__(family, kind, protocol, fileno)
        crowd.add(self.fileno())

    def close(self) -> None:
        """As in the base class."""
        crowd.discard(self.fileno())
        super().close()

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection. Raises BlockingIOError where there is none, and once in a turn before there is one."""
        try:
            if self._taken == PER_TURN:
                raise BlockingIOError
            connection = super().accept()
        except BlockingIOError:
            self._taken = 0
            raise
        self._taken += 1
        return connection


def look_at(config: Config) -> None:
    """Raises StartupError for a port that is taken."""
    metrics = (config.metrics_port, config.metrics_host or config.host, "metrics_port")
    for port, host, setting in ((config.port, config.host, "port"), metrics):
        for probe in _open(port, host, setting):
            probe.close()


def bind(listener: HTTPServer, config: Config, *, shared: bool = False) -> str:
    """Serve on the port of the service, `shared` with other processes or alone; the URL. Raises StartupError."""
    sockets = _open(config.port, config.host, "port", shared=shared)
    listener.add_sockets(sockets)
    return service_url(config, _number(sockets))


def bind_metrics(listener: HTTPServer, config: Config) -> str:
    """Serve on the port of the metrics; their URL. Raises StartupError."""
    host = config.metrics_host or config.host
    sockets = _open(config.metrics_port, host, "metrics_port")
    listener.add_sockets(sockets)
    return f"http://{_authority(host, _number(sockets))}/metrics"


@contextlib.contextmanager
def reserved(config: Config) -> Iterator[int]:
    """Keep the port of the service for processes that share it; the port. Raises StartupError.

    Our own sockets are bound but do not listen, so that no connection comes to them.
    """
    with contextlib.ExitStack() as kept:
        listening = _open(config.port, config.host, "port", shared=True)
        for each in listening:
            ours = kept.enter_context(socket.socket(each.family, each.type))
            for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
                ours.setsockopt(socket.SOL_SOCKET, option, 1)
            if each.family == socket.AF_INET6:
                ours.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            ours.bind(each.getsockname())
        port = _number(listening)
        for each in listening:
            each.close()
        yield port


def service_url(config: Config, port: int) -> str:
    """Where the service is, on this port."""
    return f"{'http' if config.tls_cert_file is None else 'https'}://{_authority(config.host, port)}"


def _authority(host: str, port: int) -> str:
    """Host and port as a URL has them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _number(sockets: list[Listener]) -> int:
    found: int = sockets[0].getsockname()[1]
    return found


def _open(port: int, host: str, setting: str, *, shared: bool = False) -> list[Listener]:
    address = None if host == EVERYWHERE else host
    try:
        bound = bind_sockets(port, address, backlog=BACKLOG, reuse_port=shared)
    except OSError as error:
        flag = f"--{setting.replace('_', '-')}"
        raise StartupError(
            f"{setting} {port} on {host} cannot be used: {error.strerror}. Choose another with {flag}; 0 picks a free "
            "one"
        ) from error
    return [Listener(each.family, each.type, each.proto, each.detach()) for each in bound]
