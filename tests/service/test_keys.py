"""The keys of the settings: generated if missing, and disjoint."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from tests.support.clock import Clock
from tests.support.forgery import claims, ec_private_pem, forge, public_pem, rsa_private_pem, signing, signing_key
from tests.support.jwks import jwks
from tornado_app.auth.keys import KeySet, signing_secret
from tornado_app.auth.proofs import sign_action
from tornado_app.auth.remote import RemoteKeys
from tornado_app.config import Config
from tornado_app.core.errors import InvalidActionProof, InvalidToken, StartupError
from tornado_app.core.policies import MAX_CLOCK_SKEW, PROOF_LEEWAY
from tornado_app.service.keys import DisjointKeys, TokenKeys, proof_verifier, refreshing_verifier, token_keys

SECRET = "correct-horse-battery-staple-0123456789"
OTHER = "another-horse-another-battery-9876543210"
URI = "mongodb://db/?replicaSet=rs0"
TOKENS = TokenKeys(KeySet([signing("HS256").public]))


class Changing:
    """A source whose keys the test sets."""

    def __init__(self, *keys) -> None:
        self.keys = KeySet(key.public for key in keys)

    def current(self) -> KeySet:
        return self.keys


def proof(key, **changes) -> str:
    return sign_action(key, **{"sub": "ann", "action_type": "level_complete", "points": 5, **changes})


# -- tokens ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["secret", "secret file", "key", "key file", "key set", "made"])
async def test_tokens_are_verified_with_the_configured_keys(tmp_path: Path, way: str):
    file = tmp_path / "file"
    key = signing_key(ec_private_pem(), "k1")
    pem = public_pem(ec_private_pem()).decode()
    config = Config(data_dir=tmp_path / "data")
    match way:
        case "secret":
            key, config = signing_secret(SECRET), Config(jwt_key=SECRET)
        case "secret file":
            file.write_text(f"{SECRET}\n")
            key, config = signing_secret(SECRET), Config(jwt_key_file=file)
        case "key":
            config = Config(jwt_key=pem, jwt_algorithm="ES256")
        case "key file":
            file.write_text(pem)
            config = Config(jwt_key_file=file, jwt_algorithm="ES256")
        case "key set":
            file.write_bytes(jwks(signing("RS256", "other"), key))
            config = Config(jwt_jwks_file=file)
    keys = token_keys(config)
    if way == "made":
        key = signing_secret(config.token_keys.generated.read_text())
    assert keys.remote is None
    text = forge(key, claims(exp=4e9, iat=...), {"alg": key.algorithm.value, "kid": key.kid or "x"})
    assert (await refreshing_verifier(config, keys).verify(text)).user_id == "ann"
    stranger = forge(signing("HS256", number=9), claims(exp=4e9, iat=...))
    with pytest.raises(InvalidToken):
        await refreshing_verifier(config, keys).verify(stranger)


async def test_audience_issuer_and_leeway_follow_the_settings():
    key = signing_secret(SECRET)
    config = Config(jwt_key=SECRET, jwt_audience=("leaderboard", "game"), jwt_issuer="https://id.example")
    tokens = refreshing_verifier(config, token_keys(config))
    await tokens.verify(forge(key, claims(exp=4e9, iat=...)))
    for change in ({"aud": "other"}, {"iss": "https://evil.example"}, {"aud": ...}, {"iss": ...}):
        with pytest.raises(InvalidToken):
            await tokens.verify(forge(key, claims(exp=4e9, iat=..., **change)))


def test_jwks_url_is_fetched_only_after_start():
    keys = token_keys(Config(jwt_jwks_url="https://id.example/jwks"))
    assert isinstance(keys.remote, RemoteKeys)
    assert keys.source is keys.remote
    assert not keys.source.current().keys


@pytest.mark.parametrize("name", ["jwt_key_file", "jwt_jwks_file"])
def test_missing_key_file_is_a_startup_error(tmp_path: Path, name: str):
    with pytest.raises(StartupError, match=r"tokens are verified with cannot be used: .*No such file"):
        token_keys(Config(**{name: tmp_path / "gone"}))


# -- action proofs --------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["secret", "secret file", "key", "key set", "made"])
def test_proofs_are_verified_with_the_configured_keys(tmp_path: Path, way: str):
    file = tmp_path / "file"
    key = signing_key(rsa_private_pem(), "game-1")
    config = Config(data_dir=tmp_path / "data")
    match way:
        case "secret":
            key, config = signing_secret(OTHER), Config(proof_key=OTHER, mongodb_uri=URI)
        case "secret file":
            file.write_text(f"{OTHER}\n")
            key, config = signing_secret(OTHER), Config(proof_key_file=file, mongodb_uri=URI)
        case "key":
            pem = public_pem(rsa_private_pem()).decode()
            config = Config(proof_key=pem, proof_algorithm="RS256", mongodb_uri=URI)
        case "key set":
            file.write_bytes(jwks(key))
            config = Config(proof_jwks_file=file, mongodb_uri=URI)
    verifier = proof_verifier(config, TOKENS)
    assert verifier is not None
    if way == "made":
        key = signing_secret(config.proof_keys.generated.read_text())
    assert verifier.verify(proof(key)).points == 5
    with pytest.raises(InvalidActionProof):
        verifier.verify(proof(signing("HS256", number=9)))


def test_generated_proof_key_is_private_and_persistent(tmp_path: Path):
    old = os.umask(0)
    try:
        config = Config(data_dir=tmp_path / "data")
        token_keys(config)
        proof_verifier(config, TOKENS)
    finally:
        os.umask(old)
    path = tmp_path / "data" / "proof.key"
    assert path.stat().st_mode & 0o777 == 0o600
    made = path.read_text()
    assert made != config.token_keys.generated.read_text()
    proof_verifier(config, TOKENS)
    assert path.read_text() == made


def test_proof_lifetime_decides_verification_and_id_history():
    config = Config(proof_key=OTHER, proof_lifetime=20)
    verifier = proof_verifier(config, TOKENS)
    assert verifier is not None
    assert config.write_policy.history_retention >= 20 + PROOF_LEEWAY + MAX_CLOCK_SKEW
    with pytest.raises(InvalidActionProof):
        verifier.verify(proof(signing_secret(OTHER), ttl=21))
    verifier.verify(proof(signing_secret(OTHER), ttl=20))


def test_proof_verifier_is_absent_if_proofs_are_off_or_without_a_key(tmp_path: Path):
    assert proof_verifier(Config(action_proof="off", proof_key=OTHER), TOKENS) is None
    assert proof_verifier(Config(action_proof="off", data_dir=tmp_path), TOKENS) is None
    assert proof_verifier(Config(action_proof="optional", mongodb_uri=URI), TOKENS) is None
    assert not list(tmp_path.iterdir())


def test_invalid_proof_key_is_a_startup_error(tmp_path: Path):
    for config in (
        Config(proof_key="short"),
        Config(proof_key_file=tmp_path / "gone"),
        Config(proof_jwks_file=tmp_path),
    ):
        with pytest.raises(StartupError, match="action proofs are verified with cannot be used"):
            proof_verifier(config, TOKENS)


# -- disjoint keys ----------------------------------------------------------------------------------------


def test_key_for_both_tokens_and_proofs_is_a_startup_error(tmp_path: Path):
    config = Config(data_dir=tmp_path)
    tokens = token_keys(config)
    given = Config(data_dir=tmp_path, proof_key=config.token_keys.generated.read_text())
    with pytest.raises(StartupError, match="use different keys"):
        proof_verifier(given, tokens)


def test_key_that_a_rotation_makes_common_verifies_no_proofs(caplog):
    first, second, tokens = (signing("HS256", number=number) for number in (1, 2, 3))
    proofs, others = Changing(first, second), Changing(tokens)
    disjoint = DisjointKeys(proofs, others)
    assert disjoint.current() is proofs.keys
    assert disjoint.current() is disjoint.current()
    with caplog.at_level(logging.ERROR, "leaderboard.auth"):
        others.keys = KeySet([tokens.public, first.public])
        assert [key.fingerprint for key in disjoint.current().keys] == [second.public.fingerprint]
        assert disjoint.current() is disjoint.current()
    (record,) = caplog.records
    assert "refusing its proofs" in record.getMessage()
    others.keys = KeySet([tokens.public])
    assert disjoint.current() is proofs.keys
    proofs.keys = KeySet([tokens.public])
    assert not disjoint.current().keys


async def test_token_and_proof_are_not_interchangeable():
    config = Config(jwt_key=SECRET, proof_key=OTHER)
    keys = token_keys(config)
    tokens, verifier = refreshing_verifier(config, keys), proof_verifier(config, keys)
    assert verifier is not None
    token = forge(signing_secret(SECRET), claims(exp=4e9, iat=...))
    await tokens.verify(token)
    with pytest.raises(InvalidActionProof):
        verifier.verify(token)
    for secret in (SECRET, OTHER):
        with pytest.raises(InvalidToken):
            await tokens.verify(proof(signing_secret(secret), clock=Clock(Clock().now)))
