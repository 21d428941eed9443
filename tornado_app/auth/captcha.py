"""Captchas, as hCaptcha and Turnstile check them: the token goes to their `siteverify`, which says whether it is good.

Sources: docs.hcaptcha.com, "Verify the user response server side"; developers.cloudflare.com/turnstile,
"Server-side validation". A token is good once, so one that was accepted is remembered for the same submission: a
client may send that again.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from urllib.parse import urlencode

import msgspec
from tornado.httpclient import AsyncHTTPClient, HTTPError

from tornado_app.core.errors import CaptchaRequired, CaptchaUnavailable, InvalidCaptcha
from tornado_app.core.model import Submission

log = logging.getLogger("leaderboard.captcha")

TIMEOUT = 5.0
"""Seconds for the whole question."""

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
        self._client = AsyncHTTPClient(force_instance=True, max_body_size=MAX_ANSWER)
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
            log.warning("the captcha service does not answer as it should: %s", type(error).__name__)
            raise CaptchaUnavailable(
                retry_after=5.0, detail=f"captcha_url does not answer as it should: {type(error).__name__}"
            ) from None


def _use(submission: Submission, token: str) -> bytes:
    """One token for one action of one player."""
    parts = (token, submission.caller.user_id, submission.user_id, submission.action_id)
    claims = (submission.points, submission.action_type)
    return hashlib.sha256(msgspec.json.encode((*parts, *claims))).digest()
