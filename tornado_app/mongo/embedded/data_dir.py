"""The folder of an embedded MongoDB: its files, who may read them, and the lock that keeps a second service out."""

from __future__ import annotations

import base64
import errno
import fcntl
import hashlib
import os
import secrets
from pathlib import Path

from tornado_app.core.errors import StartupError
from tornado_app.runtime import private_files

USER = "leaderboard"
"""Whom the service logs in as; the password is derived from the key file, so there is one secret to keep."""


class DirectoryInUse(StartupError):
    """Another service has the folder."""


class DataDirectory:
    """`home` and what is in it. Take it with `lock`, and give it back with `release`.

    `database` is MongoDB's own folder. Folders are made for their owner alone, as are `key_file`, which opens the
    database, and `uri_file`, which is there while the database runs and lets a second service use it.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.database = home / "mongodb"
        self.key_file = home / "mongod.key"
        self.uri_file = home / "mongodb.uri"
        self.log_file = home / "mongod.log"
        self._port_file = home / "mongod.port"
        self._lock_file = home / "lock"
        self._lock: int | None = None

    def lock(self) -> None:
        """Make what is missing and keep others out until `release`. Raises DirectoryInUse, StartupError."""
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check()
            self._take_lock()
            self.database.mkdir(mode=0o700, exist_ok=True)
            if not self.key_file.exists():
                write_private(self.key_file, _new_key(), mode=0o400)
        except OSError as error:
            self.release()
            raise StartupError(_unusable(self.home, error)) from error

    def release(self) -> None:
        """Let others in; the URI is of no use any more."""
        if self._lock is None:
            return
        self.uri_file.unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = None

    @property
    def key(self) -> str:
        """What the key file holds. Raises StartupError."""
        try:
            return "".join(self.key_file.read_text(encoding="ascii").split())
        except (OSError, ValueError) as error:
            raise StartupError(f"the key of the embedded database, {self.key_file}, cannot be read: {error}") from error

    @property
    def password(self) -> str:
        """The password of `USER`."""
        return hashlib.blake2b(self.key.encode(), digest_size=24, person=b"service-password").hexdigest()

    @property
    def last_port(self) -> int | None:
        """The port of the last time, or None."""
        try:
            return int(self._port_file.read_text(encoding="ascii"))
        except (OSError, ValueError):  # a hint only: any other port does as well
            return None

    def publish(self, port: int, replica_set: str) -> str:
        """The URI of the database at `port`, written down for a second service. Raises StartupError."""
        uri = f"mongodb://{USER}:{self.password}@127.0.0.1:{port}/?replicaSet={replica_set}"
        try:
            write_private(self._port_file, str(port))
            write_private(self.uri_file, uri)
        except OSError as error:
            raise StartupError(_unusable(self.home, error)) from error
        return uri

    def _check(self) -> None:
        """Raises StartupError where another user has a hand in the folder."""
        private_files.check_folder(self.home)
        files = (self.key_file, self.uri_file, self.log_file, self._port_file, self._lock_file)
        for path in (self.database, *files):
            private_files.check_within(path)

    def _take_lock(self) -> None:
        descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 32).decode("ascii", "replace") or "unknown"
            os.close(descriptor)
            raise DirectoryInUse(
                f"the data folder {self.home} is in use by process {owner}. To run a second service on the same "
                f"database: --mongodb-uri-file {self.uri_file} --jwt-key-file {self.home / 'jwt.key'} "
                f"--proof-key-file {self.home / 'proof.key'} --action-proof optional --port 0 --metrics-port 0; for "
                "another database name another --data-dir"
            ) from None
        except OSError:
            os.close(descriptor)
            raise
        self._lock = descriptor
        os.truncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())


def write_private(path: Path, text: str, *, mode: int = 0o600) -> None:
    """A file with `mode` from its first moment, whole or not there at all."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def _new_key() -> str:
    """64 characters of base64's alphabet, which is what mongod takes; 288 bits."""
    return base64.b64encode(secrets.token_bytes(48)).decode("ascii")


def _unusable(folder: Path, error: OSError) -> str:
    reason = error.strerror or type(error).__name__
    if error.errno == errno.ENOSPC:
        return f"the disk of the data folder {folder} is full: free some space, or name another --data-dir"
    return f"the data folder {folder} cannot be used ({reason}): make it writable, or name another --data-dir"
