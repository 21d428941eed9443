"""The way in for a bearer token, where its key may still have to be fetched."""

from __future__ import annotations

from collections.abc import Iterable

from tornado_app.auth.remote import RemoteKeys
from tornado_app.auth.tokens import TokenVerifier, UnknownTokenKey
from tornado_app.core.model import Caller


class RefreshingTokenVerifier:
    """A TokenVerifier that asks the identity provider once for a key that it does not know.

    `remotes`: those of the verifier's sources that are fetched; with none, it never waits.
    """

    def __init__(self, verifier: TokenVerifier, remotes: Iterable[RemoteKeys] = ()) -> None:
        self._verifier = verifier
        self._remotes = tuple(remotes)

    async def verify(self, token: str) -> Caller:
        """Whom the token speaks for; raises InvalidToken or ExpiredToken. Only for an unknown key is there a wait."""
        try:
            return self._verifier.verify(token)
        except UnknownTokenKey:
            if not await self._learn():
                raise
        return self._verifier.verify(token)

    def remembers(self, token: str) -> bool:
        """Whether the token was verified lately, by the keys in force."""
        return self._verifier.remembers(token)

    async def _learn(self) -> bool:
        learned = [await remote.refresh_for_unknown_kid() for remote in self._remotes]
        return any(learned)
