"""Authenticates requests by their bearer token, and limits failed attempts by client address."""

from __future__ import annotations

import logging
from typing import Protocol

from tornado_app.core.errors import InvalidToken, MissingToken, RateLimited, Unauthenticated
from tornado_app.core.model import Caller
from tornado_app.http.client_address import FailureLimiter, rate_limit_key
from tornado_app.http.messages import Headers, Request
from tornado_app.http.request_log import cause

audit = logging.getLogger("leaderboard.audit")


class Verifier(Protocol):
    """Verifies tokens."""

    async def verify(self, token: str) -> Caller:
        """The caller of a token. It waits only to fetch the token's key. Raises InvalidToken or ExpiredToken."""

    def remembers(self, token: str) -> bool:
        """Whether the token is in the cache of verified tokens."""


def bearer(headers: Headers) -> str:
    """The token of the Authorization header. Raises MissingToken, or InvalidToken for more than one."""
    given = headers.get("Authorization")
    if not given:
        raise MissingToken(detail="no Authorization header")
    scheme, _, token = given.partition(" ")
    if scheme.lower() != "bearer":
        raise MissingToken(reason="wrong_scheme", detail="the scheme of the Authorization header is not Bearer")
    token = token.strip()
    if not token or " " in token or "," in token:
        raise InvalidToken(
            "The Authorization header must be Bearer and one token.",
            reason="malformed_header",
            detail="no token, or more than one, in the Authorization header",
        )
    return token


def has_credentials(headers: Headers) -> bool:
    """Whether the request has credentials. Bad ones are refused even if credentials are optional."""
    return bool(headers.get("Authorization"))


class Authenticator:
    """Authenticates requests. After too many failures of an address, only tokens verified before are accepted from it.

    So a client is not locked out by others behind its address, and guessing tokens costs the service little.
    """

    def __init__(self, verifier: Verifier, failures: FailureLimiter) -> None:
        self._verifier = verifier
        self._failures = failures

    async def authenticate(self, request: Request) -> Caller:
        """The caller of a request. Raises MissingToken, InvalidToken, ExpiredToken or RateLimited."""
        try:
            token = bearer(request.headers)
        except Unauthenticated as refusal:
            self._refuse_missing(request.remote, refusal)
            raise
        return await self.verify(token, request.remote)

    async def verify(self, token: str, address: str) -> Caller:
        """The caller of a token that came from `address`. Raises InvalidToken, ExpiredToken or RateLimited."""
        wait = self._failures.retry_after(address)
        if wait and not self._verifier.remembers(token):
            raise self._too_many(wait, address)
        try:
            return await self._verifier.verify(token)
        except Unauthenticated as refusal:
            self._record_failure(address, refusal)
            raise

    def _refuse_missing(self, address: str, refusal: Unauthenticated) -> None:
        if wait := self._failures.retry_after(address):
            raise self._too_many(wait, address)
        self._record_failure(address, refusal)

    def _record_failure(self, address: str, refusal: Unauthenticated) -> None:
        """Count the failure, and log it to the audit log; the limit of failures also limits these lines."""
        self._failures.record(address)
        audit.info("credentials refused", extra={"event": "credentials_refused", "remote": address, **cause(refusal)})

    def _too_many(self, wait: float, address: str) -> RateLimited:
        return RateLimited(
            "Too many failed attempts from this address. Try again later.",
            retry_after=wait,
            reason="too_many_failures",
            detail=f"auth_failure_limit {self._failures.limit} is used up for {rate_limit_key(address)}",
        )
