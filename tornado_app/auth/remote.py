"""The JWK Set of an identity provider, by URL: when it is fetched, the fetch in the background, and its use for tokens.

If a fetch fails or its response is invalid, the previous keys are kept.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Literal, NamedTuple

from tornado.httpclient import HTTPError, HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from tornado_app.auth.jwks import SkippedKeys, parse_jwks
from tornado_app.auth.key_loading import MAX_BYTES
from tornado_app.auth.key_parsing import UnusableKey
from tornado_app.auth.keys import KeySet
from tornado_app.auth.tokens import TokenVerifier, UnknownTokenKey
from tornado_app.core.model import Caller
from tornado_app.runtime.backoff import backoff

MIN_LIFETIME = 300.0
"""Minimum seconds between two scheduled fetches, whatever the provider says: five minutes."""

DEFAULT_LIFETIME = 900.0
"""Seconds until the next fetch if the provider does not say."""

MAX_LIFETIME = 86400.0
"""Maximum seconds until the next fetch, so that a withdrawn key is dropped within a day."""

UNKNOWN_KID_INTERVAL = 60.0
"""Minimum seconds since the last fetch for one that an unknown key id causes."""

FIRST_RETRY = 5.0
"""Seconds after a failure, doubled with each further one up to MIN_LIFETIME."""

_MAX_AGE = re.compile(r"(?:^|[,\s])max-age\s*=\s*\"?([0-9]{1,10})\b", re.IGNORECASE | re.ASCII)

TIMEOUT = 5.0
"""Timeout of a fetch in seconds, from name resolution to the last byte."""

PATIENCE = 2.0
"""Maximum seconds that a request with an unknown key id waits for a fetch."""

MAX_WAITING = 100
"""Maximum requests that wait for a fetch; further ones are refused immediately."""

Outcome = Literal["changed", "unchanged", "failed"]

_log = logging.getLogger("leaderboard.auth")


class RefreshSchedule:
    """Pure: when the next fetch is due, and whether an unknown key id may cause one. Times are seconds of any clock."""

    def __init__(self, *, first_retry: float = FIRST_RETRY, min_lifetime: float = MIN_LIFETIME) -> None:
        self._first_retry = first_retry
        self._min_lifetime = min_lifetime
        self.due = float("-inf")
        self._began = float("-inf")
        self._failures = 0

    def began(self, now: float) -> None:
        """Record the start of a fetch."""
        self._began = now
        self.due = max(self.due, now + self._first_retry)

    def succeeded(self, now: float, age: float | None, spread: float) -> None:
        """Record a fetched set that is valid for `age` seconds.

        `spread` (0 to 1) shortens this by up to a tenth, so that many processes do not fetch at the same time.
        """
        bounded = min(max(DEFAULT_LIFETIME if age is None else age, self._min_lifetime), MAX_LIFETIME)
        self.due = now + bounded * (1 - spread / 10)
        self._failures = 0

    def failed(self, now: float) -> None:
        """Record a failed fetch."""
        self._failures += 1
        self.due = now + backoff(self._failures, self._first_retry, self._min_lifetime)

    def may_refresh(self, now: float) -> bool:
        """Whether an unknown key id may cause a fetch: none began within the last UNKNOWN_KID_INTERVAL seconds."""
        return now >= self._began + UNKNOWN_KID_INTERVAL


def max_age(cache_control: str) -> float | None:
    """The `max-age` of a Cache-Control header in seconds; 0 for no-store and no-cache, None if it has none."""
    if re.search(r"\bno-(?:store|cache)\b", cache_control, re.IGNORECASE):
        return 0.0
    found = _MAX_AGE.search(cache_control)
    return float(found[1]) if found else None


class FetchResult(NamedTuple):
    """A provider's response: the body, and its `Cache-Control` header."""

    body: bytes
    cache_control: str


class FetchFailed(Exception):
    """A fetch failed; the text says why."""


class RemoteKeys:
    """The keys at a URL, which must be a trusted one (config/network.py). `start` fetches them, `aclose` stops that.

    `fetch(url, timeout)` returns a FetchResult or raises FetchFailed. `count` is called with the outcome of each fetch.
    `clock`: seconds of any origin.
    """

    def __init__(
        self,
        url: str,
        *,
        fetch: Callable[[str, float], Awaitable[FetchResult]] | None = None,
        count: Callable[[Outcome], None] = lambda outcome: None,
        clock: Callable[[], float] = time.monotonic,
        timeout: float = TIMEOUT,
        patience: float = PATIENCE,
        schedule: RefreshSchedule | None = None,
    ) -> None:
        self._url = url
        self._name = url.partition("?")[0]  # for the log: a query may contain a secret
        self._fetch = fetch or fetch_jwks
        self._count = count
        self._clock = clock
        self._timeout = timeout
        self._patience = patience
        self._schedule = RefreshSchedule() if schedule is None else schedule
        self._keys = KeySet(())
        self._skipped = SkippedKeys()
        self._fetching: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._waiting = 0
        self._fault = ""
        self._good_at: float | None = None

    def current(self) -> KeySet:
        """The last valid set; empty until the first fetch succeeds."""
        return self._keys

    @property
    def fault(self) -> str:
        """Why the last fetch failed; empty if it succeeded."""
        return self._fault

    @property
    def age(self) -> float | None:
        """Seconds since the last successful fetch, None before the first."""
        return None if self._good_at is None else self._clock() - self._good_at

    async def start(self) -> None:
        """Fetch the set once, with the usual timeout, then keep it up to date in the background."""
        await self.refresh()
        self._keeper = asyncio.create_task(self._keep_fresh(), name="jwks")

    async def aclose(self) -> None:
        """Stop the background work and a fetch in progress."""
        tasks = [task for task in (self._keeper, self._fetching) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def refresh(self) -> None:
        """Fetch now, or wait for the fetch in progress."""
        await asyncio.wait({self._start_fetch()})

    async def refresh_for_unknown_kid(self) -> bool:
        """Fetch the set because of an unknown key id. Returns whether `current` has changed.

        Concurrent requests share one fetch, and there is at most one a minute: further calls return False immediately.
        Waits for at most `patience` seconds.
        """
        in_flight = self._fetching is not None and not self._fetching.done()
        if self._waiting >= MAX_WAITING or not (in_flight or self._schedule.may_refresh(self._clock())):
            return False
        before = self._keys
        self._waiting += 1
        try:
            await asyncio.wait({self._start_fetch()}, timeout=self._patience)
        finally:
            self._waiting -= 1
        return self._keys is not before

    def _start_fetch(self) -> asyncio.Task[None]:
        """The fetch in progress; a separate task, so that cancelling a request does not cancel it."""
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
            async with asyncio.timeout(self._timeout + 1):  # for a fetch that ignores its own timeout
                answer = await self._fetch(self._url, self._timeout)
            keys = parse_jwks(answer.body, skipped=self._skipped)
        except (FetchFailed, UnusableKey) as fault:
            self._failed(str(fault))
        except Exception as error:  # noqa: BLE001  (any failure of a fetch keeps the previous keys)
            self._failed(type(error).__name__)
        else:
            self._succeeded(keys, max_age(answer.cache_control))

    def _succeeded(self, keys: KeySet, lifetime: float | None) -> None:
        self._good_at = self._clock()
        self._schedule.succeeded(self._good_at, lifetime, random.random())  # noqa: S311  (spreads load; not a secret)
        changed = keys.keys != self._keys.keys
        if changed or self._fault:
            _log.info("JWK Set of %s loaded: %s", self._name, keys)
        if changed:
            self._keys = keys  # equal keys keep the same set, so that cached verifications stay valid
        self._fault = ""
        self._count("changed" if changed else "unchanged")

    def _failed(self, fault: str) -> None:
        self._schedule.failed(self._clock())
        if fault != self._fault:
            result = "keeping the previous keys" if self._keys.keys else "refusing all tokens until it succeeds"
            _log.warning("JWK Set fetch from %s failed, %s: %s", self._name, result, fault)
        self._fault = fault
        self._count("failed")


async def fetch_jwks(url: str, timeout: float) -> FetchResult:  # noqa: ASYNC109  (Tornado closes the connection)
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
    return FetchResult(answer.body, ", ".join(answer.headers.get_list("Cache-Control")))


def _reason(error: HTTPError) -> str:
    if 300 <= error.code < 400:
        return f"the answer ({error.code}) leads elsewhere; configure the final address"
    if error.code == 599:  # Tornado's own, for what never became an answer
        return f"{type(error).__name__}: {error.message}"
    return f"the answer's status is {error.code}"


class RefreshingTokenVerifier:
    """A TokenVerifier that fetches the identity provider's keys once for an unknown key id.

    `remotes`: those of the verifier's sources that are fetched; with none, it never waits.
    """

    def __init__(self, verifier: TokenVerifier, remotes: Iterable[RemoteKeys] = ()) -> None:
        self._verifier = verifier
        self._remotes = tuple(remotes)

    async def verify(self, token: str) -> Caller:
        """The caller of a token. Waits only for an unknown key. Raises InvalidToken or ExpiredToken."""
        try:
            return self._verifier.verify(token)
        except UnknownTokenKey:
            if not await self._learn():
                raise
        return self._verifier.verify(token)

    def remembers(self, token: str) -> bool:
        """Whether the token was verified lately, with the current keys."""
        return self._verifier.remembers(token)

    async def _learn(self) -> bool:
        learned = [await remote.refresh_for_unknown_kid() for remote in self._remotes]
        return any(learned)
