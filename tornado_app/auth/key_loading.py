"""Loads the keys that settings name: for verifying and for signing.

Key files are reloaded when they change, so that a key rotation needs no restart.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from tornado_app.auth.jwks import SkippedKeys, parse_jwks
from tornado_app.auth.key_parsing import UnusableKey
from tornado_app.auth.keys import KeySet, KeySource, SigningKey, public_keys, secret_key, signing_secret
from tornado_app.auth.minting import ensure_secret
from tornado_app.core.policies import KeySettings
from tornado_app.runtime.file_watcher import FileWatcher

MAX_BYTES = 256 * 1024
"""Maximum size of a key file or JWK Set."""

CHECK_INTERVAL = 1.0
"""Seconds between two checks of the file: a `stat`, which takes microseconds."""

_log = logging.getLogger("leaderboard.auth")


class KeyFile:
    """The keys in a file, as `parse` reads them.

    The first read raises UnusableKey, naming the file. If the file is missing or invalid later, this is logged once and
    the previous keys are kept. `clock`: seconds of any origin.
    """

    def __init__(
        self,
        path: Path,
        parse: Callable[[bytes], KeySet],
        *,
        check_interval: float = CHECK_INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._parse = parse
        self._check_every = check_interval
        self._clock = clock
        self._next_check = clock() + check_interval
        self._fault = ""
        self._watcher = FileWatcher(path)
        self._content = b""
        try:
            self._keys = self._read()
        except OSError as error:
            raise UnusableKey(f"{path} cannot be read: {_reason(error)}") from None
        except UnusableKey as error:
            raise UnusableKey(f"{path}: {error}") from None

    def current(self) -> KeySet:
        """The keys of the file as it was at most `check_interval` seconds ago, or the last valid ones."""
        now = self._clock()
        if now >= self._next_check:
            self._next_check = now + self._check_every
            self._refresh()
        return self._keys

    def _refresh(self) -> None:
        if not self._watcher.changed():
            return
        try:
            keys = self._read()
        except OSError as error:
            self._watcher.forget()  # so that it is read again when it can be, such as after a change of its mode
            self._report(_reason(error))
            return
        except UnusableKey as error:
            self._report(_reason(error))
            return
        if keys is not self._keys or self._fault:
            _log.info("key file %s loaded: %s", self._path, keys)
        self._keys = keys
        self._fault = ""

    def _read(self) -> KeySet:
        """Read the file. The same content gives the same set, so that cached verifications stay valid."""
        with open(self._path, "rb", opener=_open_nonblocking) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UnusableKey("This is not a regular file.")
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise UnusableKey(f"The file has more than {MAX_BYTES} bytes.")
        if not content.strip():
            raise UnusableKey("The file is empty; write the key into it.")
        if content == self._content:
            return self._keys
        keys = self._parse(content)
        self._content = content
        return keys

    def _report(self, fault: str) -> None:
        if fault != self._fault:
            _log.warning("key file %s cannot be read, keeping the previous keys: %s", self._path, fault)
        self._fault = fault


def secret_file(path: Path, kid: str | None = None, *, clock: Callable[[], float] = time.monotonic) -> KeyFile:
    """An HS256 secret in a file."""
    return KeyFile(path, lambda content: KeySet((secret_key(content, kid),)), clock=clock)


def public_key_file(path: Path, kid: str | None = None, *, clock: Callable[[], float] = time.monotonic) -> KeyFile:
    """RS256 and ES256 public keys or certificates in a PEM file, one or (for a rotation) several."""
    return KeyFile(path, lambda content: KeySet(public_keys(content, kid)), clock=clock)


def jwks_file(
    path: Path, *, skipped: SkippedKeys | None = None, clock: Callable[[], float] = time.monotonic
) -> KeyFile:
    """A JWK Set in a file, which may contain shared secrets. Raises UnusableKey."""
    return KeyFile(path, lambda content: parse_jwks(content, secrets=True, skipped=skipped), clock=clock)


def _open_nonblocking(path: str, flags: int) -> int:
    """Open without waiting for the writer of a pipe, so that a pipe can be refused."""
    return os.open(path, flags | os.O_NONBLOCK)


def _reason(error: OSError | UnusableKey) -> str:
    return str(error.strerror) if isinstance(error, OSError) else str(error)


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
