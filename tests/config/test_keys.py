"""The keys of tokens and action proofs: one source each, suitable, and disjoint."""

import json
from pathlib import Path

import pytest

from tests.support.forgery import ec_private_pem, public_pem, rsa_private_pem, signing
from tests.support.jwks import jwks
from tornado_app.auth import proofs
from tornado_app.config import Config, load_config, warnings
from tornado_app.core.errors import ConfigError
from tornado_app.core.policies import PROOF_LEEWAY, ProofPolicy, RateLimit

SECRET = "correct-horse-battery-staple-0123456789"
OTHER = "another-horse-another-battery-9876543210"
URI = "mongodb://db.example/?replicaSet=rs0"
URL = "https://id.example/.well-known/jwks.json"
JWT, PROOF = "LEADERBOARD_JWT_KEY", "LEADERBOARD_PROOF_KEY"


def faults(flags: dict[str, str] | None = None, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(flags or {}, environ or {})
    return caught.value.faults


def fault(flags: dict[str, str] | None = None, environ: dict[str, str] | None = None) -> str:
    (only,) = faults(flags, environ)
    return only


@pytest.fixture
def key_set(tmp_path: Path) -> str:
    """A file with an RS256 key, an ES256 key and a secret."""
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks(signing("RS256", "r"), signing("ES256", "e"), oct_key("s")))
    return str(path)


def oct_key(kid: str) -> dict[str, str]:
    import base64

    return {"kty": "oct", "kid": kid, "k": base64.urlsafe_b64encode(SECRET.encode()).rstrip(b"=").decode()}


# -- the policy -----------------------------------------------------------------------------------


def test_proofs_are_required_with_an_external_database_and_optional_with_the_embedded_one():
    assert load_config({}, {}).proof_policy is ProofPolicy.OPTIONAL
    assert load_config({"mongodb_uri": URI}, {JWT: SECRET, PROOF: OTHER}).proof_policy is ProofPolicy.REQUIRED
    for policy in ProofPolicy:
        assert load_config({"action_proof": policy.value}, {}).proof_policy is policy


def test_proof_policy_in_effect_is_shown():
    for flags, shown in (({}, ("optional", "default")), ({"action_proof": "off"}, ("off", "--action-proof"))):
        rows = {row.name: row for row in load_config(flags, {}).describe()}
        assert (rows["action_proof"].text, rows["action_proof"].source) == shown


def test_proof_policy_off_in_yaml_is_the_word_and_not_false(tmp_path: Path):
    path = tmp_path / "c.yaml"
    for text, policy in (("off", ProofPolicy.OFF), ("'off'", ProofPolicy.OFF), ("required", ProofPolicy.REQUIRED)):
        path.write_text(f"action_proof: {text}\n")
        assert load_config({"config": str(path)}, {}).proof_policy is policy
    for text in ("on", "0", "false "):
        path.write_text(f"action_proof: {text}\n" if text != "false " else "action_proof: [off]\n")
        assert "one of required, optional, off" in fault({"config": str(path)})


def test_required_proofs_without_a_key_are_an_error():
    text = fault({"mongodb_uri": URI}, {JWT: SECRET})
    assert text.startswith("proof_key: it is missing")
    assert "LEADERBOARD_PROOF_KEY" in text
    assert "set action_proof to optional" in text
    text = fault({"mongodb_uri": URI, "action_proof": "required"}, {JWT: SECRET})
    assert "LEADERBOARD_PROOF_KEY" in text
    assert "optional" not in text
    for policy in ("optional", "off"):
        load_config({"mongodb_uri": URI, "action_proof": policy}, {JWT: SECRET})
    load_config({"action_proof": "required"}, {})


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_proof_key_of_a_public_key_algorithm_is_not_generated(algorithm: str):
    assert f"{algorithm} needs one" in fault({"proof_algorithm": algorithm})
    assert not load_config({"proof_algorithm": algorithm, "action_proof": "off"}, {}).proof_key
    private = rsa_private_pem() if algorithm == "RS256" else ec_private_pem()
    load_config({"proof_algorithm": algorithm}, {PROOF: public_pem(private).decode()})
    assert "private key" in fault({"proof_algorithm": algorithm}, {PROOF: private.decode()})


def test_proof_policy_below_required_on_an_external_database_is_a_warning():
    for policy, most in (("optional", "1000 points an update"), ("off", "any points")):
        (warning,) = warnings(load_config({"mongodb_uri": URI, "action_proof": policy}, {JWT: SECRET}))
        assert f"action_proof is {policy}" in warning
        assert most in warning
    assert not list(warnings(load_config({}, {})))


# -- sources --------------------------------------------------------------------------------------


def test_token_keys_of_two_sources_are_an_error(tmp_path: Path, key_set: str):
    file = tmp_path / "secret"
    file.write_text(SECRET)
    ways = {"jwt_key_file": str(file), "jwt_jwks_url": URL, "jwt_jwks_file": key_set}
    for one in ways:
        assert "jwt_key is set too" in fault({one: ways[one]}, {JWT: SECRET})
        for other in ways:
            if one != other:
                assert "is set too; set only one of them" in fault({one: ways[one], other: ways[other]})
        load_config({one: ways[one], "mongodb_uri": URI}, {PROOF: OTHER})


def test_proof_keys_of_two_sources_are_an_error(tmp_path: Path, key_set: str):
    file = tmp_path / "secret"
    file.write_text(SECRET)
    ways = {"proof_key_file": str(file), "proof_jwks_file": key_set}
    for one in ways:
        assert "proof_key is set too" in fault({one: ways[one]}, {PROOF: SECRET})
        load_config({one: ways[one], "mongodb_uri": URI}, {JWT: OTHER})
    assert "is set too" in fault(ways)


def test_jwk_set_keys_have_their_own_algorithms(key_set: str):
    for flags in (
        {"jwt_jwks_url": URL, "jwt_algorithm": "ES256"},
        {"jwt_jwks_file": key_set, "jwt_algorithm": "HS256"},
    ):
        assert fault(flags).startswith("jwt_algorithm (--jwt-algorithm): jwt_jwks_")
        assert "leave it out" in fault(flags)
    assert "leave it out" in fault({"proof_jwks_file": key_set, "proof_algorithm": "HS256"})


def test_jwks_file_without_a_set_is_an_error(tmp_path: Path):
    path = tmp_path / "jwks.json"
    for name in ("jwt_jwks_file", "proof_jwks_file"):
        assert "No such file" in fault({name: str(tmp_path / "gone")})
        path.write_text("{}")
        assert "is not a JWK Set" in fault({name: str(path)})
        path.write_text(json.dumps({"keys": [{"kty": "OKP"}]}))
        assert "no key for RS256 or ES256" in fault({name: str(path)})


@pytest.mark.parametrize("url", ["http://id.example/jwks", "https://u:p@id.example/jwks", "id.example", "https://a/#b"])
def test_jwks_url_without_tls_is_an_error(url: str):
    assert fault({"jwt_jwks_url": url}).startswith("jwt_jwks_url (--jwt-jwks-url): ")


def test_proof_key_that_does_not_fit_its_algorithm_is_an_error(tmp_path: Path):
    pem = public_pem(ec_private_pem()).decode()
    assert "everyone with the public key could sign" in fault({}, {PROOF: pem})
    assert "it holds a key for ES256, and proof_algorithm is RS256" in fault({"proof_algorithm": "RS256"}, {PROOF: pem})
    path = tmp_path / "key"
    assert fault({"proof_key_file": str(path)}).endswith(f"{path} cannot be read: No such file or directory")
    path.write_text(f"{OTHER}\n")
    assert load_config({"proof_key_file": str(path)}, {}).proof_keys.key_file == path


def test_key_settings_do_not_show_the_key():
    assert SECRET not in repr(load_config({}, {JWT: SECRET}).token_keys)


# -- apart ----------------------------------------------------------------------------------------


def test_key_for_both_tokens_and_proofs_is_an_error(tmp_path: Path, key_set: str):
    text = fault({}, {JWT: SECRET, PROOF: SECRET})
    assert text.startswith("proof_key (LEADERBOARD_PROOF_KEY): it also verifies tokens")
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    assert fault({"proof_key_file": str(file)}, {JWT: SECRET}).startswith("proof_key_file (--proof-key-file)")
    assert fault({"jwt_jwks_file": key_set}, {PROOF: SECRET}).startswith("proof_key ")
    assert fault({"proof_jwks_file": key_set}, {JWT: SECRET}).startswith("proof_jwks_file ")
    pem = public_pem(rsa_private_pem()).decode()
    assert fault({"jwt_jwks_file": key_set, "proof_algorithm": "RS256"}, {PROOF: pem}).startswith("proof_key ")
    load_config({"jwt_jwks_file": key_set}, {PROOF: OTHER})


def test_unusable_key_is_reported_once():
    assert len(faults({}, {JWT: "short", PROOF: OTHER})) == 1
    assert len(faults({}, {JWT: SECRET, PROOF: "short"})) == 1
    assert len(faults({}, {JWT: "short", PROOF: "short"})) == 2


# -- what follows ---------------------------------------------------------------------------------


def test_id_history_shorter_than_the_proof_lifetime_is_an_error():
    assert proofs.LEEWAY == PROOF_LEEWAY
    assert Config().write_policy.history_retention == 120
    assert Config(proof_lifetime=85).write_policy.history_retention == 120
    assert Config(proof_lifetime=85.1).write_policy.history_retention == 180


@pytest.mark.parametrize(
    ("settings", "retention"),
    [
        ({"rate_limit": RateLimit(10, 1.0), "proof_lifetime": 0.0}, 60),  # that of profile changes
        ({"rate_limit": RateLimit(1, 3600.0)}, 7200),
    ],
)
def test_history_retention_covers_every_reason_to_remember(settings, retention):
    assert Config(**settings).write_policy.history_retention == retention


def test_command_checks_only_its_own_settings():
    names = ("jwt_key", "jwt_key_file", "mongodb_uri", "proof_key")
    config = load_config({"mongodb_uri": URI}, {JWT: SECRET, PROOF: SECRET}, relevant=names)
    assert config.proof_key == SECRET
    with pytest.raises(ConfigError):
        load_config({"port": "x"}, {}, relevant=names)


def test_command_may_have_its_own_defaults():
    defaults = {"action_proof": "optional"}
    assert load_config({"mongodb_uri": URI}, {JWT: SECRET}, defaults=defaults).proof_policy is ProofPolicy.OPTIONAL
    assert load_config({"action_proof": "off"}, {}, defaults=defaults).proof_policy is ProofPolicy.OFF


def test_provider_keys_without_an_audience_are_a_warning():
    jwks = {"jwt_jwks_url": "https://id.example/jwks"}
    (warning,) = warnings(load_config(jwks, {}))
    assert "jwt_audience is empty" in warning
    assert not list(warnings(load_config({**jwks, "jwt_audience": "game"}, {})))
