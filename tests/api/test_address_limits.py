"""Limits by client address on a running service: failed authentications and open sockets."""

import secrets

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.service import token

STRICT = (
    "--auth-failure-limit",
    "5/1m",
    "--max-connections-per-address",
    "2",
    "--trusted-proxies",
    "127.0.0.0/8",
)


@pytest.fixture(scope="module")
def strict(run_service, module_database):
    """Loopback is a trusted proxy here, so that a test can come from any address."""
    uri, name = module_database
    room = {"LEADERBOARD_AUTH_FAILURE_LIMIT": "5/1m", "LEADERBOARD_MAX_CONNECTIONS_PER_ADDRESS": "2"}
    return run_service(*STRICT, uri=uri, database=name, env=room)


def write(service, address, **options):
    return service.post("/api/score", {"score": 1}, headers={"X-Forwarded-For": address}, **options)


def test_failed_authentications_are_limited_by_address(strict):
    good = token("early-bird")
    assert write(strict, "198.51.100.1", token=good).status == 201
    bad = (None, "x", "a.b.c", token(key=secrets.token_urlsafe(32)), "y")
    failed = [write(strict, "198.51.100.1", token=each).status for each in bad]
    assert failed == [401] * 5
    refused = write(strict, "198.51.100.1", token="z")
    assert (refused.status, refused.json["error"]) == (429, "rate_limited")
    assert 50 <= int(refused.headers["Retry-After"]) <= 60
    assert write(strict, "198.51.100.1").status == 429


def test_verified_token_is_accepted_beyond_the_failure_limit(strict):
    good, new = token("regular"), token("newcomer")
    address = "198.51.100.2"
    assert write(strict, address, token=good).status == 201
    for _ in range(5):
        write(strict, address)
    assert write(strict, address, token=good).status == 200
    assert write(strict, address, token=new).status == 429  # not verified while the address guesses
    assert write(strict, "198.51.100.3", token=new).status == 201


def test_board_read_without_credentials_is_served_beyond_the_failure_limit(strict):
    for _ in range(8):
        write(strict, "198.51.100.4")
    assert strict.get("/api/top-scores", headers={"X-Forwarded-For": "198.51.100.4"}).status == 200


def test_forwarded_address_without_a_trusted_proxy_is_ignored(service):
    line = "forged-198.51.100.9"
    write(service, "198.51.100.9", token=token(line))
    audited = [entry for entry in service.log.splitlines() if line in entry]
    assert audited
    assert all('"remote":"127.0.0.1"' in entry for entry in audited)


def socket(service, address):
    return connect(f"{service.ws_url}/ws/scoreboard", additional_headers={"X-Forwarded-For": address})


def test_sockets_are_limited_by_address(strict):
    address = "198.51.100.5"
    with socket(strict, address) as first, socket(strict, address) as second:
        assert first.recv()
        assert second.recv()
        with socket(strict, address) as third:
            with pytest.raises(ConnectionClosed):
                third.recv(timeout=10)
            assert (third.close_code, third.close_reason) == (4429, "too_many_connections")
        with socket(strict, "198.51.100.6") as other:
            assert other.recv()
    with socket(strict, address) as again:
        assert again.recv()
