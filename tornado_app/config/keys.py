"""Checks of the keys that settings name: present if needed, suitable for their algorithm, and for one purpose only.

The token libraries are imported late: they are slow to import, and without a key there is nothing to check.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tornado_app.core.policies import ProofPolicy

if TYPE_CHECKING:
    from tornado_app.auth.keys import KeySet
    from tornado_app.config.configuration import Config

TOKEN_SOURCES = ("jwt_key", "jwt_key_file", "jwt_jwks_url", "jwt_jwks_file")
"""The settings of token keys; at most one may be set."""

PROOF_SOURCES = ("proof_key", "proof_key_file", "proof_jwks_file")
"""The settings of proof keys; at most one may be set."""

Fault = tuple[str, str]
"""A setting's name and its error."""


class _UnusableSetting(Exception):
    """A setting without a usable key: its name and the reason."""


def token_key(config: Config) -> Iterator[Fault]:
    """Whether the key of tokens is usable."""
    yield from _fit(config, "jwt")


def proof_key(config: Config) -> Iterator[Fault]:
    """Whether the key of action proofs is usable."""
    yield from _fit(config, "proof")


def token_key_needed(config: Config) -> Iterator[Fault]:
    """A key is required unless it is generated: for HS256, with the embedded database."""
    if all(getattr(config, name) is None for name in TOKEN_SOURCES):
        yield from _missing(config, "jwt", "tokens are signed with")


def proof_key_needed(config: Config) -> Iterator[Fault]:
    """The same for action proofs, if they are required, or verified with a public key."""
    policy = config.proof_policy
    if policy is ProofPolicy.OFF or any(getattr(config, name) is not None for name in PROOF_SOURCES):
        return
    if policy is ProofPolicy.OPTIONAL and config.proof_algorithm == "HS256":
        return
    for name, problem in _missing(config, "proof", "the game server signs actions with"):
        way_out = "" if config.action_proof else "; or set action_proof to optional, and trust the players"
        yield name, problem + way_out


def disjoint_keys(config: Config) -> Iterator[Fault]:
    """A key that signs tokens must not sign proofs, and vice versa."""
    try:
        tokens, proofs = key_set(config, "jwt"), key_set(config, "proof")
    except _UnusableSetting:
        return  # the other checks report it
    if tokens is None or proofs is None:
        return
    from tornado_app.auth.keys import shared_keys

    if shared_keys(tokens, proofs):
        name = next(name for name in PROOF_SOURCES if getattr(config, name) is not None)
        yield name, "it also verifies tokens; use another key, which only the game server has"


def key_set(config: Config, prefix: str) -> KeySet | None:
    """The keys of the settings `<prefix>_key` and so on; None if none are set, or they are at a URL."""
    settings = config.token_keys if prefix == "jwt" else config.proof_keys
    if not settings.configured:
        return None
    from tornado_app.auth.key_loading import configured_keys
    from tornado_app.auth.key_parsing import UnusableKey

    name = (
        f"{prefix}_jwks_file" if settings.jwks_file else f"{prefix}_key_file" if settings.key_file else f"{prefix}_key"
    )
    try:
        source = configured_keys(settings)
    except UnusableKey as error:
        raise _UnusableSetting(name, str(error)) from None
    if source is None or settings.jwks_file is not None:
        return None if source is None else source.current()
    keys = source.current()
    other = sorted({key.algorithm.value for key in keys.keys} - {settings.algorithm})
    if other:
        raise _UnusableSetting(
            name, f"it holds a key for {', '.join(other)}, and {prefix}_algorithm is {settings.algorithm}"
        )
    return keys


def _fit(config: Config, prefix: str) -> Iterator[Fault]:
    sets = [name for name in (f"{prefix}_jwks_url", f"{prefix}_jwks_file") if getattr(config, name, None) is not None]
    if sets and f"{prefix}_algorithm" in config.sources:
        yield (
            f"{prefix}_algorithm",
            f"{sets[0]} is set too, and each key of a JWK Set has its own algorithm; leave it out",
        )
    try:
        key_set(config, prefix)
    except _UnusableSetting as fault:
        name, problem = fault.args
        yield name, problem


def _missing(config: Config, prefix: str, purpose: str) -> Iterator[Fault]:
    name, algorithm = f"{prefix}_key", getattr(config, f"{prefix}_algorithm")
    variable = f"LEADERBOARD_{name.upper()}"
    ways = f"{variable}_FILE to its file"
    if prefix == "jwt":
        ways = f"{ways}, or LEADERBOARD_JWT_JWKS_URL to your identity provider's JWK Set"
    if algorithm != "HS256":
        yield name, f"it is missing, and {algorithm} needs one; set {variable} to the public key (PEM), or {ways}"
    elif not config.embedded:
        why = "it is missing, and with your own MongoDB no key is generated"
        yield name, f"{why}; set {variable} to the secret that {purpose}, or {ways}"
