"""The keys that the settings name: configured ones, a provider's, or for the embedded database generated ones.

Token keys and proof keys are kept disjoint while the service runs: after any rotation, no key signs both.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from tornado_app.auth.key_loading import load_keys
from tornado_app.auth.key_parsing import UnusableKey
from tornado_app.auth.keys import KeySet, KeySource, shared_keys
from tornado_app.auth.proofs import ProofVerifier
from tornado_app.auth.remote import Outcome, RefreshingTokenVerifier, RemoteKeys
from tornado_app.auth.tokens import TokenVerifier
from tornado_app.config import Config
from tornado_app.core.errors import StartupError
from tornado_app.core.policies import PROOF_LEEWAY, ProofPolicy

log = logging.getLogger("leaderboard.auth")


class TokenKeys(NamedTuple):
    """The keys of bearer tokens. `remote`: their fetcher, which must be started and closed."""

    source: KeySource
    remote: RemoteKeys | None = None


class DisjointKeys:
    """The keys of `source` without those of `others`. Excluded keys are logged."""

    def __init__(self, source: KeySource, others: KeySource) -> None:
        self._source = source
        self._others = others
        self._seen: tuple[KeySet, KeySet] | None = None
        self._kept = KeySet(())

    def current(self) -> KeySet:
        """The current keys."""
        keys, others = self._source.current(), self._others.current()
        if self._seen is None or keys is not self._seen[0] or others is not self._seen[1]:
            self._seen = (keys, others)
            self._kept = self._without(keys, others)
        return self._kept

    def _without(self, keys: KeySet, others: KeySet) -> KeySet:
        if not shared_keys(keys, others):
            return keys
        taken = {key.fingerprint for key in others.keys}
        kept = KeySet(key for key in keys.keys if key.fingerprint not in taken)
        log.error("a proof key is also a token key; refusing its proofs, remaining proof keys: %s", kept)
        return kept


def token_keys(config: Config, count: Callable[[Outcome], None] = lambda outcome: None) -> TokenKeys:
    """The keys of bearer tokens; `count` is called with the outcome of each fetch from the identity provider.

    Raises StartupError for a missing or unusable key.
    """
    try:
        if config.jwt_jwks_url is not None:
            remote = RemoteKeys(config.jwt_jwks_url, count=count)
            return TokenKeys(remote, remote)
        return TokenKeys(load_keys(config.token_keys))
    except (UnusableKey, OSError) as error:
        raise StartupError(f"the key that tokens are verified with cannot be used: {error}") from None


def refreshing_verifier(config: Config, keys: TokenKeys) -> RefreshingTokenVerifier:
    """The verifier of bearer tokens, which refetches keys."""
    return RefreshingTokenVerifier(token_verifier(config, keys), () if keys.remote is None else (keys.remote,))


def token_verifier(config: Config, keys: TokenKeys) -> TokenVerifier:
    """The verifier of bearer tokens with the current keys."""
    return TokenVerifier(
        keys.source,
        audience=config.jwt_audience,
        issuer=config.jwt_issuer,
        names=config.claim_names,
        leeway=config.jwt_leeway,
    )


def proof_verifier(config: Config, tokens: TokenKeys) -> ProofVerifier | None:
    """The verifier of action proofs; None if proofs are not read, or there is no key for them.

    Raises StartupError for a missing or unusable key, or one that verifies tokens too.
    """
    if config.proof_policy is ProofPolicy.OFF:
        return None
    if not config.embedded and not config.proof_keys.configured:
        return None
    try:
        source = load_keys(config.proof_keys)
    except (UnusableKey, OSError) as error:
        raise StartupError(f"the key that action proofs are verified with cannot be used: {error}") from None
    if shared_keys(source.current(), tokens.source.current()):
        raise StartupError("a key of action proofs also verifies tokens; use different keys")
    return ProofVerifier(DisjointKeys(source, tokens.source), lifetime=config.proof_lifetime, leeway=PROOF_LEEWAY)
