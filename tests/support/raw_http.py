"""HTTP byte by byte, without a client library."""

import json
import re
import socket
import struct
from typing import NamedTuple
from urllib.parse import urlsplit

PATIENCE = 10.0

HANDSHAKE = (
    "GET /ws/scoreboard HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip


FALLBACK = b"\r\n"
"""An empty line before a request. Tornado skips it; the fast path does not accept it, so Tornado reads the request."""


class Answer(NamedTuple):
    """One answer as it was read off the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self):
        found = json.loads(self.body)
        assert set(found) == {"error", "message"}
        assert self.headers["content-type"] == "application/json"
        return found["error"]


class RawConnection:
    """A connection to the service; a context manager that ends it."""

    def __init__(self, url, *, receive_buffer=None):
        place = urlsplit(url)
        self.host = place.netloc
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect((place.hostname, place.port))
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, *lines, body=b"", host=True):
        """Lines of a head, and a body."""
        head = [lines[0], *([f"Host: {self.host}"] if host else []), *lines[1:]]
        self.socket.sendall("\r\n".join([*head, "", ""]).encode("latin-1") + body)

    def read(self, *, head=False):
        """The next answer; None where the connection has ended."""
        line = self.file.readline()
        if not line:
            return None
        match = re.fullmatch(rb"HTTP/1\.1 (\d{3}) [^\r\n]+\r\n", line)
        assert match, line
        headers = {}
        while (line := self.file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        status = int(match[1])
        size = 0 if head or status in (100, 204, 304) else int(headers["content-length"])
        return Answer(status, headers, self.file.read(size))

    def ended(self):
        """Whether the service has closed the connection, and in good order: no reset, and not another byte."""
        return self.file.read() == b""

    def close(self, *, abruptly=False):
        """End the connection, `abruptly` as a phone does in a tunnel."""
        if abruptly and self.socket.fileno() >= 0:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.file.close()
        self.socket.close()


def quietly(service):
    """The log has no error and no traceback, and the service answers."""
    assert "Traceback" not in service.log
    assert '"level":"error"' not in service.log
    assert service.get("/healthz").status == 200
