"""Keys in a file, which is read again when it changes, so that a rotation needs no restart."""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from tornado_app.auth.keys import KeySet, public_keys, secret_key
from tornado_app.auth.material import UnusableKey

MAX_BYTES = 256 * 1024
"""The largest key file or JWKS that is read."""

CHECK_EVERY = 1.0
"""Seconds between two looks at the file's inode: a `stat` of a few microseconds."""

_log = logging.getLogger("leaderboard.auth")

_Stamp = tuple[int, int, int]


class KeyFile:
    """The keys in a file, as `parse` reads them.

    The first read raises UnusableKey, naming the file. Later, a file that is gone or bad is logged once, and the last
    good keys go on. `clock`: seconds, of any origin.
    """

    def __init__(
        self,
        path: Path,
        parse: Callable[[bytes], KeySet],
        *,
        check_every: float = CHECK_EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._parse = parse
        self._check_every = check_every
        self._clock = clock
        self._next_check = clock() + check_every
        self._fault = ""
        self._stamp: _Stamp | None = None
        self._content = b""
        try:
            self._keys = self._read()
        except (OSError, UnusableKey) as error:
            raise UnusableKey(f"{path}: {_reason(error)}") from None

    def current(self) -> KeySet:
        """The keys of the file as it was at most `check_every` seconds ago, or its last good ones."""
        now = self._clock()
        if now >= self._next_check:
            self._next_check = now + self._check_every
            self._refresh()
        return self._keys

    def _refresh(self) -> None:
        try:
            if _stamp(self._path.stat()) == self._stamp:
                return
            keys = self._read()
        except OSError as error:
            self._stamp = None  # so that it is read when it is back, whatever its inode is
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
        """Reads the file; the same content gives the same set, so that what was verified by it stays verified."""
        with open(self._path, "rb", opener=_open_at_once) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise UnusableKey("This is not a regular file.")
            self._stamp = _stamp(found)  # from before the read: what is written during it gives another stamp
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise UnusableKey(f"The file has more than {MAX_BYTES} bytes.")
        if self._content and content == self._content:
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


def _open_at_once(path: str, flags: int) -> int:
    """Opens a pipe without waiting for who writes to it, so that it can be refused."""
    return os.open(path, flags | os.O_NONBLOCK)


def _stamp(found: os.stat_result) -> _Stamp:
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def _reason(error: OSError | UnusableKey) -> str:
    return str(error.strerror) if isinstance(error, OSError) else str(error)
