"""Who is calling: the Authorization header as a Caller, and a bound on what one address may get wrong."""

from __future__ import annotations

import logging
from typing import Protocol

from tornado_app.core.errors import InvalidToken, MissingToken, RateLimited, Unauthenticated
from tornado_app.core.model import Caller
from tornado_app.http.client_address import FailureLimiter, rate_limit_key
from tornado_app.http.messages import Headers, Request
from tornado_app.http.refusal_log import cause

audit = logging.getLogger("leaderboard.audit")


class Verifier(Protocol):
    """What turns a token into a Caller."""

    async def verify(self, token: str) -> Caller:
        """The caller; waits only where the token's key has to be fetched first. Raises InvalidToken or ExpiredToken."""

    def remembers(self, token: str) -> bool:
        """Whether the token was verified lately, so that looking at it again costs next to nothing."""


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
    """Whether credentials came along; bad ones are then refused, not ignored."""
    return bool(headers.get("Authorization"))


class Authenticator:
    """Lets callers in. An address that failed too often is only believed a token that was good before.

    So nobody is locked out by a neighbour behind the same address, and guessing costs the guesser, not the service.
    """

    def __init__(self, verifier: Verifier, failures: FailureLimiter) -> None:
        self._verifier = verifier
        self._failures = failures

    async def authenticate(self, request: Request) -> Caller:
        """Who is calling. Raises MissingToken, InvalidToken, ExpiredToken or RateLimited."""
        try:
            token = bearer(request.headers)
        except Unauthenticated as refusal:
            self._refuse_missing(request.remote, refusal)
            raise
        return await self.verify(token, request.remote)

    async def verify(self, token: str, address: str) -> Caller:
        """Whom a token speaks for that came from `address`. Raises InvalidToken, ExpiredToken or RateLimited."""
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
        """Hold it against the address, and put it on record: no more lines than failures that it may have."""
        self._failures.record(address)
        audit.info("credentials refused", extra={"event": "credentials_refused", "remote": address, **cause(refusal)})

    def _too_many(self, wait: float, address: str) -> RateLimited:
        return RateLimited(
            "Too many failed attempts from this address. Please wait a moment.",
            retry_after=wait,
            reason="too_many_failures",
            detail=f"auth_failure_limit {self._failures.limit} is used up for {rate_limit_key(address)}",
        )
