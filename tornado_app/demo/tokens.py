"""Tokens that the demo signs with the service's own key: for the crowd, the curl lines, and whoever opens the page."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from tornado_app.auth import key_parsing, keys, minting
from tornado_app.config import Config
from tornado_app.core.errors import RateLimited, StartupError
from tornado_app.demo import people
from tornado_app.demo.crowd import Mint
from tornado_app.demo.people import Person
from tornado_app.http.messages import JSON_TYPE, Request, Response, Route

VISIT = 12 * 3600.0
"""Seconds that a visitor's token holds."""

SESSIONS_PER_MINUTE = 60
"""New visitors, all together: a page asks once, and a script gets no endless supply of identities."""


class Session(msgspec.Struct, frozen=True):
    """A visitor's identity, and the actions that the server gives points for."""

    token: str
    user_id: str
    username: str
    actions: dict[str, int]


def minter(config: Config) -> Mint:
    """Signs with the secret that the service verifies with. Raises StartupError where it cannot be read."""
    try:
        key = keys.signing_secret(config.read_jwt_key() or minting.ensure_secret(config.generated_key_path))
    except (key_parsing.UnusableKey, OSError) as error:
        raise StartupError(f"the demo cannot sign tokens: {error}") from None

    def mint(person: Person, ttl: float) -> str:
        return minting.mint(
            key,
            sub=person.user_id,
            name=person.name,
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
            raise RateLimited("Too many visitors at once. Please wait a moment.", retry_after=60 - now + self._given[0])
        self._given.append(now)
        person = people.visitor(f"guest-{secrets.token_hex(6)}")
        session = Session(self._mint(person, VISIT), person.user_id, person.name, self._actions)
        return Response(200, msgspec.json.encode(session), (JSON_TYPE, ("Cache-Control", "no-store")))
