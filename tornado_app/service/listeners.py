"""The listening sockets: checked before anything is started, and opened when the service is ready.

Several processes share one port, each with its own socket (SO_REUSEPORT): the kernel distributes the connections among
the running processes.
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
from tornado_app.runtime.event_loop import client_fds

BACKLOG = 4096
"""Maximum pending connections in the kernel, if its own limit is not lower. A client that does not fit retries after a
second."""

ALL_INTERFACES = "::"
"""The host that means every interface of IPv6 and IPv4; of IPv4 only if the machine has no IPv6."""

MAX_ACCEPTS_PER_ITERATION = 16
"""Maximum connections accepted per iteration of the event loop: about 5 ms of work, with the handshakes."""


class Listener(socket.socket):
    """A listening socket that limits the connections accepted per iteration of the event loop; Tornado accepts 128.

    If thousands of clients connected at once, everything else would wait for a quarter of a second.
    """

    _taken = 0

    def __init__(self, family: int, kind: int, protocol: int = 0, fileno: int | None = None) -> None:
        super().__init__(family, kind, protocol, fileno)
        client_fds.add(self.fileno())

    def close(self) -> None:
        """As in the base class."""
        client_fds.discard(self.fileno())
        super().close()

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection. Raises BlockingIOError if there is none, and after MAX_ACCEPTS_PER_ITERATION."""
        try:
            if self._taken == MAX_ACCEPTS_PER_ITERATION:
                raise BlockingIOError
            connection = super().accept()
        except BlockingIOError:
            self._taken = 0
            raise
        self._taken += 1
        return connection


def check_available(config: Config) -> None:
    """Raises StartupError if a port is in use."""
    metrics = (config.metrics_port, config.metrics_host or config.host, "metrics_port")
    for port, host, setting in ((config.port, config.host, "port"), metrics):
        for probe in _bind(port, host, setting):
            probe.close()


def bind(listener: HTTPServer, config: Config, *, shared: bool = False) -> str:
    """Listen on the port of the service, which may be `shared` with other processes; its URL. Raises StartupError."""
    sockets = _bind(config.port, config.host, "port", shared=shared)
    listener.add_sockets(sockets)
    return service_url(config, _port(sockets))


def bind_metrics(listener: HTTPServer, config: Config) -> str:
    """Listen on the metrics port; its URL. Raises StartupError."""
    host = config.metrics_host or config.host
    sockets = _bind(config.metrics_port, host, "metrics_port")
    listener.add_sockets(sockets)
    return f"http://{_authority(host, _port(sockets))}/metrics"


@contextlib.contextmanager
def reserve_port(config: Config) -> Iterator[int]:
    """Reserve the port of the service for its workers; the port. Raises StartupError.

    The sockets are bound but do not listen, so they receive no connections.
    """
    with contextlib.ExitStack() as kept:
        listening = _bind(config.port, config.host, "port", shared=True)
        for each in listening:
            reservation = kept.enter_context(socket.socket(each.family, each.type))
            for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
                reservation.setsockopt(socket.SOL_SOCKET, option, 1)
            if each.family == socket.AF_INET6:
                reservation.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            reservation.bind(each.getsockname())
        port = _port(listening)
        for each in listening:
            each.close()
        yield port


def service_url(config: Config, port: int) -> str:
    """The URL of the service on this port."""
    return f"{'http' if config.tls_cert_file is None else 'https'}://{_authority(config.host, port)}"


def _authority(host: str, port: int) -> str:
    """Host and port, as in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _port(sockets: list[Listener]) -> int:
    found: int = sockets[0].getsockname()[1]
    return found


def _bind(port: int, host: str, setting: str, *, shared: bool = False) -> list[Listener]:
    address = None if host == ALL_INTERFACES else host
    try:
        bound = bind_sockets(port, address, backlog=BACKLOG, reuse_port=shared)
    except OSError as error:
        flag = f"--{setting.replace('_', '-')}"
        raise StartupError(
            f"{setting} {port} on {host} cannot be used: {error.strerror}. Choose another with {flag}; 0 picks a free "
            "one"
        ) from error
    return [Listener(each.family, each.type, each.proto, each.detach()) for each in bound]
