"""Loads the keys that settings name: for verifying, with reloads of files, and for signing."""

from __future__ import annotations

from tornado_app.auth.jwks import SkippedKeys, jwks_file
from tornado_app.auth.keyfiles import public_key_file, secret_file
from tornado_app.auth.keys import KeySet, KeySource, SigningKey, public_keys, secret_key, signing_secret
from tornado_app.auth.minting import ensure_secret
from tornado_app.core.policies import KeySettings


def configured_keys(settings: KeySettings, *, skipped: SkippedKeys | None = None) -> KeySource | None:
    """The keys that are configured, None if none are. `skipped` logs skipped keys. Raises UnusableKey."""
    symmetric = settings.algorithm == "HS256"
    if settings.jwks_file is not None:
        return jwks_file(settings.jwks_file, skipped=skipped)
    if settings.key_file is not None:
        return (secret_file if symmetric else public_key_file)(settings.key_file)
    if settings.key is not None:
        return KeySet([secret_key(settings.key)] if symmetric else public_keys(settings.key))
    return None


def load_keys(settings: KeySettings) -> KeySource:
    """The configured keys, else the generated secret. Raises UnusableKey, OSError and StartupError."""
    configured = configured_keys(settings, skipped=SkippedKeys())
    if configured is not None:
        return configured
    ensure_secret(settings.generated)
    return secret_file(settings.generated)


def load_signing_key(settings: KeySettings) -> SigningKey:
    """The configured secret, else the generated one, for signing. Raises UnusableKey, OSError and StartupError."""
    if settings.key_file is not None:
        return signing_secret(settings.key_file.read_bytes())
    return signing_secret(settings.key if settings.key is not None else ensure_secret(settings.generated))
