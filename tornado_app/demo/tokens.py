"""Tokens that the demo signs with the service's key, for the bots, the curl lines and visitors of the page."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from tornado_app.auth import key_loading, key_parsing, minting
from tornado_app.config import Config
from tornado_app.core.errors import RateLimited, StartupError
from tornado_app.demo import personas
from tornado_app.demo.bots import Mint
from tornado_app.demo.personas import Persona
from tornado_app.http.messages import JSON_TYPE, Request, Response, Route

SESSION_TTL = 12 * 3600.0
"""Seconds that a visitor's token is valid."""

SESSIONS_PER_MINUTE = 60
"""Maximum new sessions per minute over all visitors, so that a script cannot create unlimited identities."""


class Session(msgspec.Struct, frozen=True):
    """A visitor's identity, and the actions that the server gives points for."""

    token: str
    user_id: str
    username: str
    actions: dict[str, int]


def minter(config: Config) -> Mint:
    """Returns a function that signs with the service's secret. Raises StartupError if it cannot be read."""
    try:
        key = key_loading.load_signing_key(config.token_keys)
    except (key_parsing.UnusableKey, OSError) as error:
        raise StartupError(f"the demo cannot sign tokens: {error}") from None

    def mint(persona: Persona, ttl: float) -> str:
        return minting.mint(
            key,
            sub=persona.user_id,
            name=persona.name,
            ttl=ttl,
            audience=next(iter(config.jwt_audience), None),
            issuer=config.jwt_issuer,
            names=config.claim_names,
        )

    return mint


class Sessions:
    """`GET /demo/session`: a new identity for each visitor of the page."""

    def __init__(self, mint: Mint, actions: Mapping[str, int], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._mint = mint
        self._actions = dict(actions)
        self._clock = clock
        self._given: deque[float] = deque(maxlen=SESSIONS_PER_MINUTE)

    def route(self) -> Route:
        """Where it is served."""
        return Route("/demo/session", {"GET": self.get})

    def get(self, request: Request) -> Response:
        """A session. Raises RateLimited."""
        now = self._clock()
        if len(self._given) == SESSIONS_PER_MINUTE and now - self._given[0] < 60:
            raise RateLimited("Too many visitors. Try again in a moment.", retry_after=60 - now + self._given[0])
        self._given.append(now)
        persona = personas.visitor(f"guest-{secrets.token_hex(6)}")
        session = Session(self._mint(persona, SESSION_TTL), persona.user_id, persona.name, self._actions)
        return Response(200, msgspec.json.encode(session), (JSON_TYPE, ("Cache-Control", "no-store")))
