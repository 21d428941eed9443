"""Certificates of a private authority, named by SSL_CERT_FILE as the operator does: for MongoDB and the JWK Set."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from leaderboard_operator.resources.deployment import CA_VARIABLE
from tests.support.background import BackgroundLoop
from tests.support.forgery import claims, forge, signing
from tests.support.jwks import jwks
from tests.support.pki import Authority
from tests.support.service import RunningService

KEY = signing("ES256", "first")


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """The folder of an authority, with a certificate of this machine's loopback."""
    Authority(tmp_path, "authority").issue("server", "server", hosts=("127.0.0.1", "localhost"))
    return tmp_path


@pytest.fixture
def tls(authority: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.crt", authority / "server.key")
    return context


@pytest.fixture
def provider(tls: ssl.SSLContext) -> Iterator[str]:
    """The address of a JWK Set behind the authority."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = jwks(KEY)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}/jwks"
    server.shutdown()
    server.server_close()


@pytest.fixture
def encrypted(mongo_database: tuple[str, str], tls: ssl.SSLContext) -> Iterator[tuple[str, str]]:
    """URI and database of a MongoDB that is reached by TLS: something in front of it ends that."""
    uri, database = mongo_database
    port = urlsplit(uri).port

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pump(reader, up_writer), _pump(up_reader, writer))

    with BackgroundLoop() as loop:
        server = loop.run(asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=tls))
        yield f"mongodb://127.0.0.1:{server.sockets[0].getsockname()[1]}/?directConnection=true&tls=true", database
        server.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # the other end went first
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


def start(encrypted: tuple[str, str], provider: str, log: Path, **env: str | None) -> RunningService:
    uri, database = encrypted
    service = RunningService(
        "--jwt-jwks-url", provider, uri=uri, database=database, env={"LEADERBOARD_JWT_KEY": None, **env}
    )
    return service.start(log)


def test_service_trusts_the_ca_of_the_environment_variable(authority, encrypted, provider, tmp_path):
    service = start(encrypted, provider, tmp_path / "log", **{CA_VARIABLE: str(authority / "authority.crt")})
    try:
        now = time.time()
        header = {"alg": KEY.algorithm.value, "typ": "JWT", "kid": KEY.kid}
        token = forge(KEY, claims(sub="alice", iat=now, exp=now + 600), header)
        update = {"actionId": "a-1", "actionType": "daily_login"}
        assert service.post("/api/scores/update", update, token=token).status == 200
    finally:
        service.close()


def test_service_does_not_trust_a_private_ca_by_default(encrypted, provider, tmp_path):
    with pytest.raises(AssertionError, match="MongoDB cannot be reached"):
        start(encrypted, provider, tmp_path / "log")
