"""The Secrets that a Leaderboard names, and what their keys become in the pods. The operator makes none."""

from __future__ import annotations

from leaderboard_operator.resources.names import Object
from leaderboard_operator.spec import Spec
from leaderboard_operator.spec.kinds import SecretKey

MONGODB_URI, JWT_KEY, JWKS, PROOF_KEY = "mongodb-uri", "jwt-key", "jwks.json", "proof-key"
PROOF_JWKS, CAPTCHA_SECRET, TRUSTED_CA = "proof-jwks.json", "captcha-secret", "ca.crt"


def secret_files(spec: Spec) -> dict[str, SecretKey]:
    """The key of a Secret that each file holds, by the file's name."""
    jwt, actions = spec.auth.jwt, spec.actions
    found = {
        MONGODB_URI: spec.database.connection_secret_ref,
        JWT_KEY: jwt.secret_ref,
        JWKS: jwt.jwks_secret_ref,
        PROOF_KEY: actions.proof_key_secret_ref,
        PROOF_JWKS: actions.proof_jwks_secret_ref,
        CAPTCHA_SECRET: actions.captcha.secret_ref if actions.captcha else None,
        TRUSTED_CA: spec.trusted_ca.secret_ref if spec.trusted_ca else None,
    }
    return {file: key for file, key in found.items() if key is not None}


def secret_keys(spec: Spec) -> dict[str, SecretKey]:
    """Every key of a Secret that pods need, by what it becomes in them: a file, or an environment variable."""
    sources = {each.name: each.value_from for each in spec.template.spec.env if each.value_from is not None}
    variables = {f"${name}": source.secret_key_ref for name, source in sources.items() if source.secret_key_ref}
    return {**secret_files(spec), **variables}


def secret_volume(spec: Spec) -> Object:
    """One volume of all files, with the certificates of a ConfigMap, where that is what they are in."""
    sources = [
        {"secret": {"name": ref.name, "items": [{"key": ref.key, "path": file}]}}
        for file, ref in secret_files(spec).items()
    ]
    trusted = spec.trusted_ca.config_map_ref if spec.trusted_ca else None
    if trusted is not None:
        sources.append({"configMap": {"name": trusted.name, "items": [{"key": trusted.key, "path": TRUSTED_CA}]}})
    return {"name": "secrets", "projected": {"sources": sources}}
