"""The ports that the service listens on: looked at before anything is started, and opened when all is ready."""

from __future__ import annotations

import socket

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from tornado_app.config import Config
from tornado_app.core.errors import StartupError


def look_at(config: Config) -> None:
    """Raises StartupError for a port that is taken."""
    metrics = (config.metrics_port, config.metrics_host or config.host, "metrics_port")
    for port, host, setting in ((config.port, config.host, "port"), metrics):
        for probe in _open(port, host, setting):
            probe.close()


def bind(listener: HTTPServer, port: int, host: str, setting: str) -> int:
    """Listen, and the port that it became. Raises StartupError, which names the setting."""
    sockets = _open(port, host, setting)
    listener.add_sockets(sockets)
    found: int = sockets[0].getsockname()[1]
    return found


def authority(host: str, port: int) -> str:
    """Host and port as a URL has them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _open(port: int, host: str, setting: str) -> list[socket.socket]:
    try:
        return bind_sockets(port, host)
    except OSError as error:
        flag = f"--{setting.replace('_', '-')}"
        raise StartupError(
            f"{setting} {port} on {host} cannot be used: {error.strerror}. Choose another with {flag}; 0 picks a free "
            "one"
        ) from error
