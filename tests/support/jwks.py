"""JWK Sets, and a provider that publishes one for services in other processes."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tornado_app.auth.keys import SigningKey


def jwk(key: SigningKey, **changes: Any) -> dict[str, Any]:
    """A key as a provider publishes it; `...` removes a member."""
    public = key.public.key.public_key() if key.algorithm != "HS256" else key.public.key
    found = {**public.to_dict(), "use": "sig", "kid": key.kid, **changes}
    return {name: value for name, value in found.items() if value is not ... and (name, value) != ("kid", None)}


def jwks(*entries: Any) -> bytes:
    return json.dumps({"keys": [jwk(entry) if isinstance(entry, SigningKey) else entry for entry in entries]}).encode()


class Provider:
    """Serves a JWK Set on a port of its own; `down` closes it, `up` opens it again, a shut `gate` keeps it waiting."""

    def __init__(self, body: bytes) -> None:
        self.body, self.status = body, 200
        self.requests = 0
        self.gate = threading.Event()
        self.gate.set()
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.up()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/jwks"

    def up(self) -> None:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.requests += 1
                provider.gate.wait(10)
                self.send_response(provider.status)
                self.send_header("Content-Length", str(len(provider.body)))
                self.end_headers()
                self.wfile.write(provider.body)

            def log_message(self, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def down(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
