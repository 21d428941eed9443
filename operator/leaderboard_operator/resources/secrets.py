"""The Secret keys that a Leaderboard refers to, and their files in the pods. The operator creates no Secrets."""

from __future__ import annotations

from leaderboard_operator import Object
from leaderboard_operator.spec import Spec
from leaderboard_operator.spec.types import SecretKey

MONGODB_URI, JWT_KEY, JWKS, PROOF_KEY = "mongodb-uri", "jwt-key", "jwks.json", "proof-key"
PROOF_JWKS, CAPTCHA_SECRET, TRUSTED_CA = "proof-jwks.json", "captcha-secret", "ca.crt"


def secret_files(spec: Spec) -> dict[str, SecretKey]:
    """The Secret key of each file, by the name of the file."""
    jwt, actions = spec.auth.jwt, spec.actions
    files = {
        MONGODB_URI: spec.database.connection_secret_ref,
        JWT_KEY: jwt.secret_ref,
        JWKS: jwt.jwks_secret_ref,
        PROOF_KEY: actions.proof_key_secret_ref,
        PROOF_JWKS: actions.proof_jwks_secret_ref,
        CAPTCHA_SECRET: actions.captcha.secret_ref if actions.captcha else None,
        TRUSTED_CA: spec.trusted_ca.secret_ref if spec.trusted_ca else None,
    }
    return {file: key for file, key in files.items() if key is not None}


def secret_keys(spec: Spec) -> dict[str, SecretKey]:
    """All Secret keys that pods need, by the name of their file, or `$` and the name of their environment variable."""
    environment = spec.template.spec.env
    sources = {variable.name: variable.value_from for variable in environment if variable.value_from is not None}
    variables = {f"${name}": source.secret_key_ref for name, source in sources.items() if source.secret_key_ref}
    return {**secret_files(spec), **variables}


def secret_volume(spec: Spec) -> Object:
    """One volume with all files, including the trusted certificates if they are in a ConfigMap."""
    sources = [
        {"secret": {"name": ref.name, "items": [{"key": ref.key, "path": file}]}}
        for file, ref in secret_files(spec).items()
    ]
    trusted = spec.trusted_ca.config_map_ref if spec.trusted_ca else None
    if trusted is not None:
        sources.append({"configMap": {"name": trusted.name, "items": [{"key": trusted.key, "path": TRUSTED_CA}]}})
    return {"name": "secrets", "projected": {"sources": sources}}
