"""`leaderboard token --check` and `leaderboard sign-action --check`: whether the service accepts a token or proof.

The token itself is never printed, so that the output may go into a ticket.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TextIO

import msgspec

from tornado_app.auth import jws
from tornado_app.auth.jws import VerifiedJws
from tornado_app.auth.keys import KeySet, VerificationKey
from tornado_app.auth.proofs import Proof, ProofVerifier, bind
from tornado_app.auth.remote import RemoteKeys
from tornado_app.config import Config
from tornado_app.core.errors import ConfigError, LeaderboardError, StartupError
from tornado_app.core.model import Caller, Submission, rfc3339
from tornado_app.core.policies import KeySettings
from tornado_app.service.keys import TokenKeys, proof_verifier, token_keys, token_verifier

REMEDIES = {
    "malformed": "give the whole token: three parts with dots between them, without quotes or line breaks",
    "too_long": "have the provider omit claims, such as roles that the game does not need",
    "header": "have the issuer omit that header",
    "type": "give an access token to `token`, an action proof to `sign-action`",
    "algorithm": "have the issuer sign with the wanted algorithm, or configure a key of the token's",
    "no_keys": "wait until the JWK Set can be fetched, or correct its address",
    "unknown_kid": "configure the keys of the provider that issued the token (its iss is among the claims)",
    "missing_kid": "have the issuer name its key in the header (kid)",
    "signature": "configure the key that the issuer signs with; a secret must be the same, byte by byte",
    "invalid_claim": "have the issuer correct the claim",
    "audience": "add the token's audience to jwt_audience, or its claim to jwt_audience_claims",
    "issuer": "set jwt_issuer to the token's iss, to the last slash",
    "user_id": "set jwt_user_claim to the claim with the user id",
    "user_id_conflict": "set jwt_user_claim to the claim with the user id",
    "scope_claim": "set jwt_scope_claims to claims with scopes only",
    "expired": "get a new one; if it is new, correct the clocks",
    "not_yet_valid": "wait, or correct the clocks; jwt_leeway is how far the clocks of tokens may differ",
    "lifetime": "sign with a shorter exp, or raise proof_lifetime",
    "other_player": "sign the proof for the player of the request's token",
    "other_action_type": "sign the proof for the request's action type",
    "other_action_id": "sign the proof for the request's action id",
    "other_board": "sign the proof for the board of the request's path (brd); without a board it is for main",
    "other_score": "sign the proof with the request's score (scr), for a board of the rule best or last",
    "other_points": "sign the proof for the request's points, or omit them from the request",
    "unknown_action_type": "put points into the proof (pts), or the type into the table of actions",
}
"""Remedies of refusals, by reason."""


class _Report(NamedTuple):
    """The result of a check. `verified` is None unless the signature is valid; `lines` describe an accepted token or
    proof."""

    verified: VerifiedJws | None
    refusal: LeaderboardError | None
    lines: tuple[tuple[str, str], ...] = ()


def check_token(config: Config, text: str, *, out: TextIO | None = None) -> int:
    """Print whether the service accepts a bearer token; 0 if it does, else 1. Raises StartupError."""
    keys, source = _token_keys(config)
    verifier = token_verifier(config, TokenKeys(keys))
    verified = _verified(verifier.verify_signature, text)
    try:
        report = _Report(verified, None, tuple(_about_caller(verifier.verify(text))))
    except LeaderboardError as refusal:
        report = _Report(verified, refusal)
    return _print(report, text, keys, source, out or sys.stdout)


def check_proof(
    config: Config, text: str, request: Submission, *, board: str | None = None, out: TextIO | None = None
) -> int:
    """Print whether the service accepts an action proof; 0 if it does, else 1.

    `request`: the update with the proof; its caller has no user id if the proof determines it. `board`: that of the
    request; None for the proof's. Raises StartupError and
    ConfigError.
    """
    verifier, keys = _proof_verifier(config)
    verified = _verified(verifier.verify_signature, text)
    try:
        proof = verifier.verify(text)
        report = _Report(verified, None, tuple(_about_proof(proof, request, board or proof.board, config)))
    except LeaderboardError as refusal:
        report = _Report(verified, refusal)
    return _print(report, text, keys, _source(config, "proof"), out or sys.stdout)


def _token_keys(config: Config) -> tuple[KeySet, str]:
    """The keys of tokens, fetched if they are at a URL, and their source."""
    logging.getLogger("leaderboard").addHandler(logging.NullHandler())  # errors are printed below
    source = _source(config, "jwt")
    if config.jwt_jwks_url is None and _is_ungenerated(config.token_keys):
        raise StartupError(f"{source} does not exist; name the service's --data-dir, or set the key that it uses")
    found = token_keys(config)
    if found.remote is not None:
        asyncio.run(_fetched(found.remote))
        if not found.remote.current().keys:
            raise StartupError(f"the JWK Set at {source} cannot be used: {found.remote.fault}; check jwt_jwks_url")
    return found.source.current(), source


async def _fetched(remote: RemoteKeys) -> None:
    await remote.refresh()
    await remote.aclose()


def _proof_verifier(config: Config) -> tuple[ProofVerifier, KeySet]:
    source = _source(config, "proof")
    if config.embedded and _is_ungenerated(config.proof_keys):
        raise StartupError(f"{source} does not exist; name the service's --data-dir, or set the key that it uses")
    verifier = proof_verifier(config, TokenKeys(KeySet(())))
    if verifier is None:
        raise ConfigError(["proof_key: it is missing, or action_proof is off: this service reads no proofs"])
    return verifier, verifier.keys


def _is_ungenerated(settings: KeySettings) -> bool:
    return not settings.configured and not settings.generated.exists()


def _source(config: Config, prefix: str) -> str:
    """The source of the keys, by the settings; never a key itself."""
    if prefix == "jwt" and config.jwt_jwks_url is not None:
        return config.jwt_jwks_url.partition("?")[0]
    settings = config.token_keys if prefix == "jwt" else config.proof_keys
    if settings.key is not None:
        return f"{prefix}_key"
    return str(settings.jwks_file or settings.key_file or settings.generated)


def _verified(verify: Callable[[str], VerifiedJws], text: str) -> VerifiedJws | None:
    try:
        return verify(text)
    except LeaderboardError:
        return None  # `verify` raises the same error, which is reported


def _about_caller(caller: Caller) -> Iterator[tuple[str, str]]:
    profile = caller.profile
    yield "player", caller.user_id
    yield "name", profile.username or "none: the user id is shown"
    yield "picture", profile.avatar_url or "none"
    yield "scopes", " ".join(sorted(caller.scopes)) or "none: a player's own token"
    yield "expires", _time(caller.expires_at)


def _about_proof(proof: Proof, request: Submission, board: str, config: Config) -> Iterator[tuple[str, str]]:
    caller = Caller(request.caller.user_id or proof.player, proof.expires_at)
    score = proof.score if request.score is None and request.points is None else request.score
    vouched = bind(proof, msgspec.structs.replace(request, caller=caller, score=score), config.action_points, board)
    value = f"{vouched.value} points" if proof.score is None else f"score {vouched.value}"
    yield "player", proof.player
    yield "board", proof.board
    yield "action", f"{vouched.action_type}, id {vouched.id}, {value}"
    yield "expires", _time(proof.expires_at)


def _time(seconds: float) -> str:
    return f"{rfc3339(round(seconds * 1000))}, in {seconds - time.time():.0f} s"


def _print(report: _Report, text: str, keys: KeySet, source: str, out: TextIO) -> int:
    header, claims = jws.unverified(text)
    rows = [("verdict", "accepted" if report.refusal is None else "refused"), *_reasons(report.refusal), *report.lines]
    rows += [("key", "none verifies it" if report.verified is None else _key(report.verified.key))]
    known = f"{len(keys.keys)} from {source}"
    rows += [("keys", f"{known}: {'; '.join(map(_key, keys.keys))}" if keys.keys else known)]
    rows += [("header", "cannot be read" if header is None else json.dumps(header))]
    out.writelines(f"{name:9}{_line(value)}\n" for name, value in rows)
    trust = "" if report.verified is not None else " (not verified)"
    out.write(f"claims{trust}\n{_indented(claims)}\n")
    out.flush()
    return 0 if report.refusal is None else 1


def _reasons(refusal: LeaderboardError | None) -> Iterator[tuple[str, str]]:
    if refusal is None:
        return
    yield "error", refusal.code
    yield "reason", refusal.reason
    yield "detail", refusal.detail
    yield "answer", refusal.text
    yield "remedy", REMEDIES[refusal.reason]


def _key(key: VerificationKey) -> str:
    return f"kid {json.dumps(key.kid)}, {key.algorithm.value}" if key.kid is not None else f"no kid, {key.algorithm}"


def _indented(claims: dict[str, Any] | None) -> str:
    return "  cannot be read" if claims is None else json.dumps(claims, indent=2)


def _line(text: str) -> str:
    """A text as one line of a terminal: a token may contain control characters."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
