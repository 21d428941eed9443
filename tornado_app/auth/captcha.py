"""Captchas, as hCaptcha and Turnstile check them: the token goes to their `siteverify`, which says whether it is good.

Sources: docs.hcaptcha.com, "Verify the user response server side"; developers.cloudflare.com/turnstile,
"Server-side validation". A token is good once, so one that was accepted is remembered for the same submission: a
client may send that again.
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
"""Seconds for the whole question."""

MOST_AT_ONCE = 256
"""Tokens that are checked at the same time; a further one is refused at once."""

MOST_PER_PLAYER = 4
"""The same of one player, so that one player cannot use up the limit of all."""

MAX_TOKEN = 4096
MAX_CODES = 200
"""Characters of the captcha service's own error codes that the log gets."""

MAX_ANSWER = 64 * 1024
REMEMBERED = 10_000
"""Accepted tokens kept, for submissions that are sent again."""


class _Answer(msgspec.Struct):
    success: bool = False
    error_codes: list[str] = msgspec.field(default_factory=list, name="error-codes")


_decode = msgspec.json.Decoder(_Answer).decode


class Captcha:
    """Asks `url` whether a captcha was solved; `secret` is what it knows this service by."""

    def __init__(self, url: str, secret: str) -> None:
        self._url = url
        self._secret = secret
        # One that has a place here never waits in the client's queue, however slow the others' answers are.
        self._client = AsyncHTTPClient(force_instance=True, max_clients=MOST_AT_ONCE, max_body_size=MAX_ANSWER)
        self._asking: Counter[str] = Counter()
        self._accepted: OrderedDict[bytes, None] = OrderedDict()

    async def check(self, submission: Submission) -> None:
        """Raises CaptchaRequired, InvalidCaptcha or CaptchaUnavailable unless the submission's captcha was solved."""
        token = submission.captcha
        if not token:
            raise CaptchaRequired(detail="captcha_url is set, and neither a proof nor a Captcha-Token came along")
        if len(token) > MAX_TOKEN:
            raise InvalidCaptcha(detail=f"Captcha-Token of {len(token)} characters, at most {MAX_TOKEN}")
        use = _use(submission, token)
        if use in self._accepted:
            return
        with self._place(submission.caller.user_id):
            answer = await self._ask(token, submission.remote)
        if not answer.success:
            codes = " ".join(answer.error_codes)[:MAX_CODES] or "none"
            raise InvalidCaptcha(detail=f"captcha_url did not accept it, error-codes: {codes}")
        if submission.action_id is not None:  # without an id no other submission is the same
            self._accepted[use] = None
            if len(self._accepted) > REMEMBERED:
                self._accepted.popitem(last=False)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    @contextmanager
    def _place(self, player: str) -> Iterator[None]:
        """One of the places for checks. Raises CaptchaUnavailable where none is free."""
        if self._asking.total() >= MOST_AT_ONCE or self._asking[player] >= MOST_PER_PLAYER:
            detail = f"{self._asking.total()} checks are under way, {self._asking[player]} of them for this player"
            raise CaptchaUnavailable(retry_after=1.0, detail=detail)
        self._asking[player] += 1
        try:
            yield
        finally:
            self._asking[player] -= 1
            if not self._asking[player]:
                del self._asking[player]

    async def _ask(self, token: str, remote: str) -> _Answer:
        form = urlencode({"secret": self._secret, "response": token, "remoteip": remote})
        try:
            answer = await self._client.fetch(
                self._url,
                method="POST",
                body=form,
                connect_timeout=TIMEOUT,
                request_timeout=TIMEOUT,
                follow_redirects=False,
            )
            return _decode(answer.body)
        except (HTTPError, OSError, msgspec.DecodeError) as error:
            log.warning("request to captcha_url failed, refusing the update: %s", type(error).__name__)
            raise CaptchaUnavailable(
                retry_after=5.0, detail=f"request to captcha_url failed: {type(error).__name__}"
            ) from None


def _use(submission: Submission, token: str) -> bytes:
    """One token for one action of one player."""
    parts = (token, submission.caller.user_id, submission.user_id, submission.action_id)
    claims = (submission.points, submission.action_type)
    return hashlib.sha256(msgspec.json.encode((*parts, *claims))).digest()
