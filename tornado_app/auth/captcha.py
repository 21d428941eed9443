"""Verifies captchas of hCaptcha and Turnstile with their `siteverify` endpoint.

A token is valid once, so an accepted one is cached for the same submission, which a client may repeat.

Sources: docs.hcaptcha.com, "Verify the user response server side"; developers.cloudflare.com/turnstile, "Server-side
validation".
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import msgspec
from tornado.httpclient import AsyncHTTPClient, HTTPError

from tornado_app.core.errors import CaptchaRequired, CaptchaUnavailable, InvalidCaptcha
from tornado_app.core.model import Submission

log = logging.getLogger("leaderboard.captcha")

TIMEOUT = 5.0
"""Timeout of a request in seconds."""

MAX_CONCURRENT = 256
"""Maximum concurrent checks; further ones are refused immediately."""

MAX_CONCURRENT_PER_PLAYER = 4
"""Maximum concurrent checks of one player, so that one player cannot use up the limit of all."""

MAX_TOKEN = 4096
MAX_CODES = 200
"""Maximum characters of the captcha service's error codes in the log."""

MAX_RESPONSE = 64 * 1024
CACHE_SIZE = 10_000
"""Accepted tokens that are cached for repeated submissions."""


class _Result(msgspec.Struct):
    success: bool = False
    error_codes: list[str] = msgspec.field(default_factory=list, name="error-codes")


_decode = msgspec.json.Decoder(_Result).decode


class Captcha:
    """Verifies solved captchas at `url`; `secret` is the service's secret there."""

    def __init__(
        self, url: str, secret: str, *, timeout: float = TIMEOUT, max_concurrent: int = MAX_CONCURRENT
    ) -> None:
        self._url = url
        self._secret = secret
        self._timeout = timeout
        self._max_concurrent = max_concurrent
        # As many connections as concurrent checks, so that no check waits in the client's queue.
        self._client = AsyncHTTPClient(force_instance=True, max_clients=max_concurrent, max_body_size=MAX_RESPONSE)
        self._in_flight: Counter[str] = Counter()
        self._accepted: OrderedDict[bytes, None] = OrderedDict()

    async def check(self, submission: Submission) -> None:
        """Raises CaptchaRequired, InvalidCaptcha or CaptchaUnavailable unless the submission's captcha was solved."""
        token = submission.captcha
        if not token:
            raise CaptchaRequired(detail="captcha_url is set, and neither a proof nor a Captcha-Token came along")
        if len(token) > MAX_TOKEN:
            raise InvalidCaptcha(detail=f"Captcha-Token of {len(token)} characters, at most {MAX_TOKEN}")
        key = _cache_key(submission, token)
        if key in self._accepted:
            return
        with self._slot(submission.caller.user_id):
            answer = await self._ask(token, submission.remote)
        if not answer.success:
            codes = " ".join(answer.error_codes)[:MAX_CODES] or "none"
            raise InvalidCaptcha(detail=f"captcha_url did not accept it, error-codes: {codes}")
        if submission.action_id is not None:  # without an id, no submission is a repetition
            self._accepted[key] = None
            if len(self._accepted) > CACHE_SIZE:
                self._accepted.popitem(last=False)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @contextmanager
    def _slot(self, player: str) -> Iterator[None]:
        """Reserve one of the concurrent checks. Raises CaptchaUnavailable if none is free."""
        if self._in_flight.total() >= self._max_concurrent or self._in_flight[player] >= MAX_CONCURRENT_PER_PLAYER:
            detail = (
                f"{self._in_flight.total()} checks are in progress, {self._in_flight[player]} of them for this player"
            )
            raise CaptchaUnavailable(retry_after=1.0, detail=detail)
        self._in_flight[player] += 1
        try:
            yield
        finally:
            self._in_flight[player] -= 1
            if not self._in_flight[player]:
                del self._in_flight[player]

    async def _ask(self, token: str, remote: str) -> _Result:
        form = urlencode({"secret": self._secret, "response": token, "remoteip": remote})
        try:
            answer = await self._client.fetch(
                self._url,
                method="POST",
                body=form,
                connect_timeout=self._timeout,
                request_timeout=self._timeout,
                follow_redirects=False,
            )
            return _decode(answer.body)
        except (HTTPError, OSError, msgspec.DecodeError) as error:
            log.warning("request to captcha_url failed, refusing the update: %s", type(error).__name__)
            raise CaptchaUnavailable(
                retry_after=5.0, detail=f"request to captcha_url failed: {type(error).__name__}"
            ) from None


def _cache_key(submission: Submission, token: str) -> bytes:
    """The cache key: the token and the submission that it is for."""
    parts = (token, submission.caller.user_id, submission.user_id, submission.action_id)
    claims = (submission.points, submission.action_type)
    return hashlib.sha256(msgspec.json.encode((*parts, *claims))).digest()
