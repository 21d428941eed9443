"""A provider that is slow, down, serves invalid sets, rotates, or gets unknown keys; the schedule of fetches."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter

import pytest

from tests.auth.provider import Provider, until
from tests.support.clock import Clock
from tests.support.forgery import claims, forge, signing
from tests.support.jwks import jwk, jwks
from tornado_app.auth.key_loading import MAX_BYTES
from tornado_app.auth.keys import KeySet
from tornado_app.auth.remote import MAX_WAITING, RefreshingTokenVerifier, RefreshSchedule, RemoteKeys, max_age
from tornado_app.auth.tokens import TokenVerifier
from tornado_app.core.errors import InvalidToken

OLD, NEW, STATIC = signing("RS256", "old"), signing("ES256", "new"), signing("HS256")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", None),
        ("public", None),
        ("max-age=3600", 3600),
        ("public, max-age=19845, must-revalidate, no-transform", 19845),
        ("public,Max-Age = 60", 60),
        ('max-age="60"', 60),
        ("s-maxage=60", None),
        ("max-age=-1", None),
        ("max-age=x", None),
        ("max-age=99999999999999", None),
        ("no-store", 0),
        ("no-cache, max-age=600", 0),
    ],
)
def test_refresh_schedule_uses_max_age_of_the_response(header, seconds):
    assert max_age(header) == seconds


@pytest.mark.parametrize(
    ("age", "used"),
    [(None, 900), (0, 300), (299, 300), (3600, 3600), (86400, 86400), (1e9, 86400)],
)
def test_refresh_interval_is_five_minutes_to_a_day(age, used):
    schedule = RefreshSchedule()
    schedule.began(1000)
    schedule.succeeded(1000, age, 0)
    assert schedule.due == 1000 + used
    schedule.succeeded(1000, age, 1)
    assert schedule.due == 1000 + used * 0.9


def test_refresh_failures_back_off():
    schedule, waits = RefreshSchedule(), []
    for _ in range(9):
        schedule.began(0)
        schedule.failed(0)
        waits.append(schedule.due)
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    schedule.succeeded(0, None, 0)
    schedule.failed(1000)
    assert schedule.due == 1005


def test_refresh_for_unknown_keys_happens_once_a_minute():
    schedule = RefreshSchedule()
    assert schedule.may_refresh(0)
    schedule.began(0)
    assert not schedule.may_refresh(59.9)
    assert schedule.may_refresh(60)


def test_refresh_that_never_finished_is_not_repeated_at_once():
    schedule = RefreshSchedule()
    schedule.began(100)
    assert schedule.due == 105


def token(key, kid=None) -> str:
    return forge(key, claims(), {"alg": key.algorithm.value, "kid": kid or key.kid})


@pytest.fixture
async def provider():
    provider = Provider(jwks(OLD))
    yield provider
    await provider.aclose()


@pytest.fixture
def clock():
    return Clock(0.0)


@pytest.fixture
def outcomes():
    return Counter()


@pytest.fixture
async def remote(provider, clock, outcomes):
    remote = RemoteKeys(
        provider.url, clock=clock, count=lambda outcome: outcomes.update([outcome]), timeout=3.0, patience=0.2
    )
    yield remote
    await remote.aclose()


@pytest.fixture
def token_verifier(remote):
    return RefreshingTokenVerifier(TokenVerifier(remote, audience=None, issuer=None, clock=Clock()), [remote])


def kids(remote) -> list[str | None]:
    return [key.kid for key in remote.current().keys]


async def test_jwks_is_fetched_once_and_not_per_token(provider, remote, token_verifier, outcomes):
    await remote.start()
    for _ in range(100):
        assert (await token_verifier.verify(token(OLD))).user_id == "ann"
    assert provider.requests == ["/jwks"]
    assert outcomes == {"changed": 1}


async def test_jwks_is_fetched_at_the_first_token_of_a_new_key(provider, remote, token_verifier, clock):
    await remote.start()
    provider.body = jwks(OLD, NEW)
    clock.now = 60
    assert (await token_verifier.verify(token(NEW))).user_id == "ann"
    assert (await token_verifier.verify(token(OLD))).user_id == "ann"
    provider.body = jwks(NEW)
    await remote.refresh()
    with pytest.raises(InvalidToken):
        await token_verifier.verify(token(OLD))


async def test_jwks_is_fetched_once_a_minute_under_a_flood_of_unknown_keys(provider, remote, token_verifier, clock):
    await remote.start()
    provider.requests.clear()
    for second in range(0, 301, 3):
        clock.now = float(second)
        for n in range(20):
            with pytest.raises(InvalidToken):
                await token_verifier.verify(token(NEW, f"kid-{second}-{n}"))
    assert len(provider.requests) == 5


async def test_concurrent_unknown_keys_share_one_fetch(provider, remote, token_verifier, clock):
    await remote.start()
    provider.requests.clear()
    provider.gate.clear()
    clock.now = 60
    flood = [asyncio.create_task(token_verifier.verify(token(NEW, f"kid-{n}"))) for n in range(MAX_WAITING + 50)]
    await until(lambda: sum(task.done() for task in flood) == 50)
    provider.gate.set()
    results = await asyncio.gather(*flood, return_exceptions=True)
    assert {type(result).__name__ for result in results} == {"UnknownTokenKey"}
    assert len(provider.requests) == 1


async def test_valid_token_does_not_wait_for_a_slow_provider(provider, remote, token_verifier, clock):
    await remote.start()
    provider.gate.clear()
    clock.now = 60
    stranger = asyncio.create_task(token_verifier.verify(token(NEW)))
    await until(lambda: len(provider.requests) == 2)
    start = time.perf_counter()
    assert (await token_verifier.verify(token(OLD))).user_id == "ann"
    assert not stranger.done()
    with pytest.raises(InvalidToken):
        await stranger
    assert time.perf_counter() - start < 2.0, "a request waits for its patience, not for the fetch"


async def test_cancelled_request_does_not_end_the_fetch_of_others(provider, remote, token_verifier, clock):
    await remote.start()
    provider.body = jwks(OLD, NEW)
    provider.gate.clear()
    clock.now = 60
    first, second = (asyncio.create_task(token_verifier.verify(token(NEW))) for _ in range(2))
    await until(lambda: len(provider.requests) == 2)
    first.cancel()
    provider.gate.set()
    assert (await second).user_id == "ann"


BAD_ANSWERS = {
    "500": (500, {}, b"down", "status is 500"),
    "404": (404, {}, b"", "status is 404"),
    "202": (202, {}, jwks(NEW), "status is 202"),
    "rubbish": (200, {}, b"<html>maintenance</html>", "not a JWK Set"),
    "empty set": (200, {}, b'{"keys": []}', "no key for RS256 or ES256"),
    "secrets only": (200, {}, jwks(jwk(STATIC)), "shared secret"),
    "huge": (200, {}, b'{"keys": [' + b" " * MAX_BYTES + b"]}", "HTTP"),
    "redirect": (302, {"Location": "http://127.0.0.1:1/evil"}, b"", "leads elsewhere"),
    "redirect to itself": (307, {"Location": "/other"}, b"", "leads elsewhere"),
    "gzip bomb": (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b\x08\0" + bytes(100), "not a JWK Set"),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
async def test_previous_jwks_is_kept_when_the_provider_fails(name, provider, remote, token_verifier, outcomes, caplog):
    provider.status, provider.headers, provider.body, sentence = BAD_ANSWERS[name]
    good, bad = (200, {}, jwks(OLD)), (provider.status, provider.headers, provider.body)
    provider.status, provider.headers, provider.body = good
    await remote.start()
    provider.status, provider.headers, provider.body = bad
    for _ in range(3):
        await remote.refresh()
    assert (await token_verifier.verify(token(OLD))).user_id == "ann"
    assert set(provider.requests) == {"/jwks"}
    assert outcomes == {"changed": 1, "failed": 3}
    warnings = [r.getMessage() for r in caplog.records if r.name == "leaderboard.auth" and r.levelno == logging.WARNING]
    assert len(warnings) == 1, "logged once, not for each fetch"
    assert sentence in warnings[0]
    assert "keeping the previous keys" in warnings[0]
    provider.status, provider.headers, provider.body = (200, {}, jwks(OLD))
    before = remote.current()
    await remote.refresh()
    assert remote.current() is before
    assert outcomes["unchanged"] == 1


async def test_fetch_from_a_silent_provider_times_out(provider, caplog):
    provider.gate.clear()
    remote = RemoteKeys(provider.url, timeout=0.3)
    start = time.perf_counter()
    await remote.start()
    assert time.perf_counter() - start < 3.0
    await remote.aclose()
    assert kids(remote) == []
    assert "Timeout" in caplog.text
    assert "refusing all tokens" in caplog.text


async def raw_server(answer):
    """A server of bytes: sends what `answer` yields, then holds the connection."""
    connections = []

    async def serve(reader, writer):
        connections.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        try:
            async for part in answer():
                writer.write(part)
                await writer.drain()
            await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks"


async def nothing():
    return
    yield b""


async def drip():
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    while True:
        yield b" "
        await asyncio.sleep(0.02)


async def endless():
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    while True:
        yield b"10000\r\n" + b" " * 0x10000 + b"\r\n"


async def endless_headers():
    yield b"HTTP/1.1 200 OK\r\n"
    while True:
        yield b"X: " + b"x" * 8000 + b"\r\n"


async def no_http():
    yield b"SSH-2.0-OpenSSH\r\n\r\n"


@pytest.mark.parametrize("answer", [nothing, drip, endless, endless_headers, no_http])
async def test_fetch_of_an_endless_response_is_aborted(answer, caplog):
    server, url = await raw_server(answer)
    async with server:
        remote = RemoteKeys(url, timeout=0.3)
        start = time.perf_counter()
        await remote.refresh()
        assert time.perf_counter() - start < 3.0
        assert kids(remote) == []
        assert "refusing all tokens" in caplog.text
        await remote.aclose()


async def test_unreachable_provider_is_logged_and_retried(provider, caplog):
    await provider.aclose()
    remote = RemoteKeys(provider.url, timeout=0.5)
    await remote.start()
    assert "refused" in caplog.text
    await remote.aclose()


async def test_provider_that_starts_late_is_fetched_without_a_request(provider):
    provider.status = 503
    remote = RemoteKeys(provider.url, timeout=0.5, schedule=RefreshSchedule(first_retry=0.02))
    await remote.start()
    assert remote.age is None
    await until(lambda: len(provider.requests) >= 3)
    provider.status = 200
    await until(lambda: kids(remote) == ["old"])
    assert remote.age < 5
    await remote.aclose()


async def test_jwks_is_fetched_again_after_its_age(provider):
    provider.headers = {"Cache-Control": "public, max-age=0"}
    remote = RemoteKeys(provider.url, timeout=0.5, schedule=RefreshSchedule(min_lifetime=0.05))
    await remote.start()
    provider.body = jwks(NEW)
    await until(lambda: kids(remote) == ["new"])
    await remote.aclose()


async def test_close_during_a_fetch_ends(provider, remote, token_verifier, clock):
    await remote.start()
    provider.gate.clear()
    clock.now = 60
    waiting = asyncio.create_task(token_verifier.verify(token(NEW)))
    await until(lambda: len(provider.requests) == 2)
    await remote.aclose()
    with pytest.raises(InvalidToken):
        await waiting
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("jwks")]


async def test_unknown_key_without_a_provider_is_refused_at_once():
    token_verifier = RefreshingTokenVerifier(
        TokenVerifier(KeySet([OLD.public]), audience=None, issuer=None, clock=Clock())
    )
    assert (await token_verifier.verify(token(OLD))).user_id == "ann"
    with pytest.raises(InvalidToken):
        await token_verifier.verify(token(NEW))
