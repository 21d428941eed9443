"""The data directory of an embedded MongoDB: its files, their permissions, and the lock that excludes a second
service."""

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
"""The service's user; its password is derived from the key file, so there is one secret to keep."""


class DirectoryInUse(StartupError):
    """Another service uses the directory."""


class DataDirectory:
    """`home` and its files. `lock` acquires the directory, `release` frees it.

    `database` is MongoDB's own directory. Only the owner may read directories, `key_file`, which opens the database,
    and `uri_file`, which exists while the database runs and lets a second service use it.
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
        """Create missing directories and exclude others until `release`. Raises DirectoryInUse, StartupError."""
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
        """Remove the URI, and unlock."""
        if self._lock is None:
            return
        self.uri_file.unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = None

    @property
    def key(self) -> str:
        """The contents of the key file. Raises StartupError."""
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
        """The port of the previous run, or None."""
        try:
            return int(self._port_file.read_text(encoding="ascii"))
        except (OSError, ValueError):  # a hint only: any other port works too
            return None

    def publish(self, port: int, replica_set: str) -> str:
        """The URI of the database at `port`, stored for a second service. Raises StartupError."""
        uri = f"mongodb://{USER}:{self.password}@127.0.0.1:{port}/?replicaSet={replica_set}"
        try:
            write_private(self._port_file, str(port))
            write_private(self.uri_file, uri)
        except OSError as error:
            raise StartupError(_unusable(self.home, error)) from error
        return uri

    def _check(self) -> None:
        """Raises StartupError if another user can write to the directory."""
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
    """Write a file with `mode` from its creation on, completely or not at all."""
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
    """64 characters of base64's alphabet, as mongod requires; 288 bits."""
    return base64.b64encode(secrets.token_bytes(48)).decode("ascii")


def _unusable(folder: Path, error: OSError) -> str:
    reason = error.strerror or type(error).__name__
    if error.errno == errno.ENOSPC:
        return f"the disk of the data folder {folder} is full: free some space, or name another --data-dir"
    return f"the data folder {folder} cannot be used ({reason}): make it writable, or name another --data-dir"
