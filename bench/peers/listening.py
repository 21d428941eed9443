"""How a peer opens a port and reports it."""

from __future__ import annotations

import sys

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

BACKLOG = 1024


def serve(application: Application) -> str:
    """Listen on a free port of loopback; the address."""
    sockets = bind_sockets(0, "127.0.0.1", backlog=BACKLOG)
    HTTPServer(application).add_sockets(sockets)
    return f"http://127.0.0.1:{sockets[0].getsockname()[1]}"


def ready(url: str, socket: str | None = None) -> None:
    """Print the address; `socket` is the WebSockets' address if it differs."""
    sys.stdout.write(f"ready at {url} {socket or url.replace('http', 'ws', 1) + '/ws'}\n")
    sys.stdout.flush()
