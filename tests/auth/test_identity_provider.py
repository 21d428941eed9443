"""A running service with the keys of an identity provider: rotation, outage, invalid responses, unknown keys."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.support.forgery import claims, forge, signing
from tests.support.jwks import Provider, jwks
from tests.support.service import RunningService
from tests.support.wait import wait_until

FIRST, SECOND, THIRD, STRANGER = (
    signing("RS256", "first"),
    signing("ES256", "second"),
    signing("RS256", "third", 1),
    signing("ES256", "stranger", 9),
)
FAST_REFRESH = (
    "import sys; from tornado_app.auth import remote; remote.UNKNOWN_KID_INTERVAL = 1.0; "
    "from tornado_app.cli.main import main; sys.exit(main())"
)
"""The real program, with one second instead of a minute between two fetches for unknown key ids."""


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider(jwks(FIRST))
    yield provider
    provider.gate.set()
    provider.down()


@pytest.fixture
def run(provider, mongo_database, tmp_path) -> Iterator:
    uri, database = mongo_database
    running: list[RunningService] = []

    def start(*, fast_refresh: bool) -> RunningService:
        program = ("-c", FAST_REFRESH) if fast_refresh else ("-m", "tornado_app")
        env = {"LEADERBOARD_JWT_KEY": None}
        service = RunningService(
            "--jwt-jwks-url", provider.url, uri=uri, database=database, env=env, program=program
        )  # fmt: skip
        running.append(service)
        return service.start(tmp_path / "log")

    yield start
    for service in running:
        service.close()


def token(key, kid: str | None = None) -> str:
    now = time.time()
    header = {"alg": key.algorithm.value, "typ": "JWT", "kid": kid or key.kid}
    return forge(key, claims(sub=f"player-{key.kid}", iat=now, exp=now + 600), header)


def status(service: RunningService, key, kid: str | None = None) -> int:
    return service.post("/api/scores/update", {"actionId": f"a-{time.monotonic_ns()}", "actionType": "daily_login"},
                        token=token(key, kid)).status  # fmt: skip


def accepted(service: RunningService, key) -> None:
    wait_until(lambda: status(service, key) == 200, what=f"tokens of {key.kid} are accepted")


def test_rotated_keys_are_accepted_without_a_restart(provider, run):
    service = run(fast_refresh=True)
    assert status(service, FIRST) == 200
    assert status(service, SECOND) == 401
    provider.body = jwks(FIRST, SECOND)
    accepted(service, SECOND)
    assert status(service, FIRST) == 200
    provider.body = jwks(SECOND, THIRD)
    accepted(service, THIRD)
    assert status(service, FIRST) == 401, "a withdrawn key goes with the next set"
    assert status(service, SECOND) == 200
    assert service.metric("leaderboard_jwks_refreshes_total", result="changed") == 3
    assert "/jwks loaded" in service.log


@pytest.mark.long
def test_read_accepts_the_first_token_of_a_new_key(provider, run):
    service = run(fast_refresh=True)
    provider.body = jwks(SECOND)
    wait_until(lambda: service.get("/api/leaderboard", token=token(SECOND)).status == 200, what="the read")


@pytest.mark.parametrize("way", ["url", "message"])
def test_socket_accepts_the_first_token_of_a_new_key(provider, run, way: str):
    service = run(fast_refresh=True)
    provider.body = jwks(SECOND)

    def told_of_own_score() -> bool:
        query = f"?token={token(SECOND)}" if way == "url" else ""
        with connect(f"{service.ws_url}/ws/leaderboard{query}") as client:
            if way == "message":
                client.send(json.dumps({"type": "authenticate", "token": token(SECOND)}))
            try:
                assert "leaderboard.update" in str(client.recv(10))
                client.ping().wait(1)  # the message before it was dealt with
                client.ping()
            except ConnectionClosed:
                return refused(client)
            assert status(service, SECOND) == 200
            return any("user.scoreUpdate" in str(client.recv(10)) for _ in range(2))

    wait_until(told_of_own_score, what="the socket is the player's")


def refused(client: ClientConnection) -> bool:
    assert (client.close_code, client.close_reason) == (4401, "invalid_token")
    return False


@pytest.mark.long
def test_client_that_disconnects_during_a_key_fetch_is_removed(provider, run):
    service = run(fast_refresh=True)
    fetches = service.metric("leaderboard_jwks_refreshes_total")
    provider.body = jwks(SECOND)
    provider.gate.clear()
    before = provider.requests

    def left_while_it_is_asked() -> bool:
        with connect(f"{service.ws_url}/ws/leaderboard?token={token(SECOND)}", close_timeout=0.1) as client:
            with contextlib.suppress(TimeoutError, ConnectionClosed):
                client.recv(0.3)
            with contextlib.suppress(OSError):  # the service has closed it
                client.socket.shutdown(socket.SHUT_RDWR)  # gone without a word
        return provider.requests > before

    wait_until(left_while_it_is_asked, what="a socket that waits for a key")
    provider.gate.set()
    wait_until(lambda: service.metric("leaderboard_jwks_refreshes_total") > fetches, what="the fetch")
    assert status(service, SECOND) == 200
    wait_until(lambda: service.metric("leaderboard_websocket_connections") == 0, what="no socket is left")


@pytest.mark.long
@pytest.mark.parametrize("trouble", ["down", "error", "rubbish", "no keys"])
def test_previous_keys_are_used_when_the_provider_fails(provider, run, trouble: str):
    service = run(fast_refresh=True)
    assert status(service, FIRST) == 200
    match trouble:
        case "down":
            provider.down()
        case "error":
            provider.status = 503
        case "rubbish":
            provider.body = b"<html>Sorry</html>"
        case "no keys":
            provider.body = b'{"keys": []}'
    failures = lambda: service.metric("leaderboard_jwks_refreshes_total", result="failed")  # noqa: E731
    wait_until(lambda: status(service, STRANGER) == 401 and failures(), what="a fetch that failed")
    assert status(service, FIRST) == 200
    assert service.get("/readyz").status == 200
    assert service.metric("leaderboard_jwks_age_seconds") > 0
    assert service.log.count("keeping the previous keys") == 1, "logged once, not for each attempt"
    if trouble == "down":
        provider.up()
    provider.status, provider.body = 200, jwks(SECOND)
    accepted(service, SECOND)


@pytest.mark.long
def test_unreachable_provider_at_start_refuses_only_tokens(provider, run):
    provider.down()
    service = run(fast_refresh=True)
    assert service.get("/api/top-scores").status == 200
    assert service.get("/readyz").status == 200
    assert status(service, FIRST) == 401
    assert service.metric("leaderboard_jwks_age_seconds") == float("inf")
    assert "refusing all tokens until it succeeds" in service.log
    provider.up()
    accepted(service, FIRST)
    assert service.metric("leaderboard_jwks_age_seconds") < 60


@pytest.mark.long
def test_flood_of_unknown_keys_causes_no_fetch(provider, run):
    service = run(fast_refresh=False)
    assert provider.requests == 1
    assert {status(service, STRANGER, f"kid-{number}") for number in range(200)} == {401}
    assert provider.requests == 1, "the minute since the start is not over"
    assert status(service, FIRST) == 200
