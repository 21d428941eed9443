"""Score updates: authentication, the submission, the response's headers, the record."""

from __future__ import annotations

import math

import msgspec

from tornado_app.api.authentication import Authenticator
from tornado_app.api.frontends.base import Frontend, ScoreEndpoint
from tornado_app.api.rest import board_version
from tornado_app.api.rest.submission_log import SubmissionRecorder
from tornado_app.core.errors import LeaderboardError
from tornado_app.core.model import Caller, RateLimitState, Receipt, Submission
from tornado_app.core.policies import RateLimit
from tornado_app.core.scoreboard import Scoreboard
from tornado_app.http import errors
from tornado_app.http.messages import JSON_TYPE, Request, Response

POLICY_NAME = "updates"


def rate_limit_policy_header(limit: RateLimit) -> tuple[str, str]:
    """The header with the rate limit. Source: draft-ietf-httpapi-ratelimit-headers-10."""
    return ("RateLimit-Policy", f'"{POLICY_NAME}";q={limit.updates};w={math.ceil(limit.window)}')


class ScoreHandler:
    """Serves one `ScoreEndpoint` of a frontend."""

    def __init__(
        self,
        frontend: Frontend,
        write: ScoreEndpoint,
        scoreboard: Scoreboard,
        authenticator: Authenticator,
        limit: RateLimit,
        recorder: SubmissionRecorder,
    ) -> None:
        self._frontend = frontend.name
        self._write = write
        self._scoreboard = scoreboard
        self._authenticator = authenticator
        self._policy = rate_limit_policy_header(limit)
        self._recorder = recorder

    async def __call__(self, request: Request) -> Response:
        """Submit the update. A refusal is a response too."""
        caller: Caller | None = None
        submission: Submission | None = None
        try:
            caller = await self._authenticator.authenticate(request)
            submission = self._submission(request, caller)
            receipt = await self._scoreboard.submit(submission)
            answer = self._accept(receipt)
        except LeaderboardError as refusal:
            self._recorder.refused(self._frontend, request, caller, submission, refusal)
            return errors.response(refusal).plus(*self._limits(refusal.rate_limit_state))
        self._recorder.accepted(request, submission, receipt)
        return answer

    def _submission(self, request: Request, caller: Caller) -> Submission:
        submission = self._write.read(request, caller)
        proof = request.headers.get("Action-Proof") or submission.proof
        return msgspec.structs.replace(
            submission,
            proof=proof,
            captcha=request.headers.get("Captcha-Token"),
            remote=request.remote,
            frontend=self._frontend,
        )

    def _accept(self, receipt: Receipt) -> Response:
        status = 201 if receipt.created and self._write.created is not None else 200
        body = msgspec.json.encode(self._write.render(receipt, self._scoreboard))
        headers = [JSON_TYPE, *self._limits(receipt.rate_limit_state)]
        if receipt.version:
            headers.append(board_version.ANY.header(receipt.version))
        if receipt.replayed:
            headers.append(("Idempotent-Replay", "true"))
        return Response(status, body, tuple(headers))

    def _limits(self, rate_limit_state: RateLimitState | None) -> list[tuple[str, str]]:
        """The headers of the rate limit. `t`: seconds until another update is allowed."""
        if rate_limit_state is None:
            return [self._policy]
        state = f'"{POLICY_NAME}";r={rate_limit_state.remaining};t={max(0, math.ceil(rate_limit_state.reset))}'
        return [self._policy, ("RateLimit", state)]
