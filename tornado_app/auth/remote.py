"""The JWK Set of an identity provider, by URL: always answered from memory, fetched beside the requests.

A provider that is slow, down or serves rubbish changes nothing: the last good set goes on.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from tornado.httpclient import HTTPError, HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from tornado_app.auth.jwks import SkippedKeys, parse_jwks
from tornado_app.auth.keyfiles import MAX_BYTES
from tornado_app.auth.keys import KeySet
from tornado_app.auth.material import UnusableKey
from tornado_app.auth.schedule import Schedule, max_age

TIMEOUT = 5.0
"""Seconds for a whole fetch, from the name's resolution to the last byte."""

PATIENCE = 2.0
"""Seconds that a request with an unknown key id waits for a fetch."""

MAX_WAITING = 100
"""Requests that wait for one fetch; further ones are refused at once."""

Outcome = Literal["changed", "unchanged", "failed"]

_log = logging.getLogger("leaderboard.auth")


class Answer(NamedTuple):
    """A provider's answer: the body, and its `Cache-Control` header."""

    body: bytes
    cache_control: str


class FetchFailed(Exception):
    """The provider gave no set; the text says why."""


class RemoteKeys:
    """The keys at a URL. `start` fetches them and keeps them fresh, `aclose` ends that.

    `fetch`: how an Answer is got from a URL in so many seconds; it raises FetchFailed. `count` is told the outcome of
    each fetch. `clock`: seconds of any origin. Raises UnusableKey where keys from the URL cannot be trusted.
    """

    def __init__(
        self,
        url: str,
        *,
        allow_http: bool = False,
        fetch: Callable[[str, float], Awaitable[Answer]] | None = None,
        count: Callable[[Outcome], None] = lambda outcome: None,
        clock: Callable[[], float] = time.monotonic,
        timeout: float = TIMEOUT,
        patience: float = PATIENCE,
    ) -> None:
        self._url = checked_url(url, allow_http=allow_http)
        self._name = url.partition("?")[0]  # for the log: a query may hold what is not for it
        self._fetch = fetch or fetch_jwks
        self._count = count
        self._clock = clock
        self._timeout = timeout
        self._patience = patience
        self._schedule = Schedule()
        self._keys = KeySet(())
        self._skipped = SkippedKeys()
        self._fetching: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._waiting = 0
        self._fault = ""
        self._good_at: float | None = None

    def current(self) -> KeySet:
        """The last good set; empty until the first fetch succeeds."""
        return self._keys

    @property
    def fault(self) -> str:
        """Why the last fetch failed; empty where it did not."""
        return self._fault

    @property
    def age(self) -> float | None:
        """Seconds since the provider last gave a good set, None where it never did."""
        return None if self._good_at is None else self._clock() - self._good_at

    async def start(self) -> None:
        """Fetch the set, at most for the timeout of a fetch, and go on in the background whether or not it came."""
        await self.refresh()
        self._keeper = asyncio.create_task(self._keep_fresh(), name="jwks")

    async def aclose(self) -> None:
        """End the background work, a fetch in flight included."""
        tasks = [task for task in (self._keeper, self._fetching) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def refresh(self) -> None:
        """Fetch now, or join the fetch in flight."""
        await asyncio.wait({self._begin()})

    async def learn(self) -> bool:
        """Look for a key that is not known yet: whether `current` has changed, so that it is worth another look.

        Many unknown keys cause one fetch, and no more than one a minute whatever they are; who would start the second
        is told False at once. Waits for at most `patience` seconds.
        """
        in_flight = self._fetching is not None and not self._fetching.done()
        if self._waiting >= MAX_WAITING or not (in_flight or self._schedule.may_look(self._clock())):
            return False
        before = self._keys
        self._waiting += 1
        try:
            await asyncio.wait({self._begin()}, timeout=self._patience)
        finally:
            self._waiting -= 1
        return self._keys is not before

    def _begin(self) -> asyncio.Task[None]:
        """The one fetch in flight; a task of its own, so that a request that is cut off does not end it."""
        if self._fetching is None or self._fetching.done():
            self._schedule.began(self._clock())
            self._fetching = asyncio.create_task(self._fetch_once(), name="jwks fetch")
        return self._fetching

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(max(0.0, self._schedule.due - self._clock()))
            if self._clock() >= self._schedule.due:
                await self.refresh()

    async def _fetch_once(self) -> None:
        try:
            async with asyncio.timeout(self._timeout + 1):  # the fetch has its own; without one, none would follow
                answer = await self._fetch(self._url, self._timeout)
            keys = parse_jwks(answer.body, skipped=self._skipped)
        except (FetchFailed, UnusableKey) as fault:
            self._failed(str(fault))
        except Exception as error:  # noqa: BLE001  (the last good set goes on, whatever a network can do to a client)
            self._failed(type(error).__name__)
        else:
            self._succeeded(keys, max_age(answer.cache_control))

    def _succeeded(self, keys: KeySet, lifetime: float | None) -> None:
        self._good_at = self._clock()
        self._schedule.succeeded(self._good_at, lifetime, random.random())  # noqa: S311  (spreads load, hides nothing)
        changed = keys.keys != self._keys.keys
        if changed or self._fault:
            _log.info("JWK Set of %s loaded: %s", self._name, keys)
        if changed:
            self._keys = keys  # the same keys keep the same set, so that what was verified by it stays verified
        self._fault = ""
        self._count("changed" if changed else "unchanged")

    def _failed(self, fault: str) -> None:
        self._schedule.failed(self._clock())
        if fault != self._fault:
            result = "keeping the previous keys" if self._keys.keys else "refusing all tokens until it succeeds"
            _log.warning("JWK Set fetch from %s failed, %s: %s", self._name, result, fault)
        self._fault = fault
        self._count("failed")


def checked_url(url: str, *, allow_http: bool = False) -> str:
    """`url`, where keys from it can be trusted: https, or http to this very machine; else raises UnusableKey."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, 0
    if not host or port == 0 or parts.scheme not in ("http", "https") or not url.isascii() or not url.isprintable():
        raise UnusableKey("The address of a JWK Set is a URL such as https://id.example/.well-known/jwks.json")
    if parts.username is not None or parts.fragment:
        raise UnusableKey("The address of a JWK Set has no user name, password or fragment.")
    if parts.scheme == "http" and not allow_http and not _is_loopback(host):
        raise UnusableKey("Keys that come by http can be exchanged on the way; use an https address.")
    return url


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def fetch_jwks(url: str, timeout: float) -> Answer:  # noqa: ASYNC109  (Tornado's, which closes the connection)
    """One GET in `timeout` seconds: no redirects, no decompression, at most MAX_BYTES. Raises FetchFailed."""
    client = SimpleAsyncHTTPClient(force_instance=True, max_body_size=MAX_BYTES)
    request = HTTPRequest(
        url,
        headers={"Accept": "application/jwk-set+json, application/json"},
        user_agent="leaderboard",
        connect_timeout=timeout,
        request_timeout=timeout,
        follow_redirects=False,
        decompress_response=False,
    )
    try:
        answer = await client.fetch(request)
    except HTTPError as error:
        raise FetchFailed(_reason(error)) from None
    except OSError as error:
        raise FetchFailed(error.strerror or type(error).__name__) from None
    finally:
        client.close()
    if answer.code != 200:
        raise FetchFailed(f"the answer's status is {answer.code}")
    return Answer(answer.body, ", ".join(answer.headers.get_list("Cache-Control")))


def _reason(error: HTTPError) -> str:
    if 300 <= error.code < 400:
        return f"the answer ({error.code}) leads elsewhere; configure the final address"
    if error.code == 599:  # Tornado's own, for what never became an answer
        return f"{type(error).__name__}: {error.message}"
    return f"the answer's status is {error.code}"
