"""The embedded MongoDB: a real mongod as a one-member replica set on loopback, for development and small boards.

Only users who can read the data directory have access: mongod runs with a key file, and the service's password is
derived from it. mongod is restarted when it exits, and ends with this process, also after `kill -9`.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import NamedTuple

from tornado_app.core.errors import StartupError
from tornado_app.mongo.embedded.bootstrap import make_writable
from tornado_app.mongo.embedded.data_dir import DataDirectory, DirectoryInUse
from tornado_app.mongo.embedded.log_file import MAX_BYTES, LogFile
from tornado_app.mongo.embedded.mongod import (
    ADDRESS_IN_USE,
    FOLDER_IN_USE,
    LOG_CHECK_SECONDS,
    REPLICA_SET,
    Mongod,
    find_binary,
    free_port,
)
from tornado_app.runtime.backoff import RestartBackoff

log = logging.getLogger("leaderboard.mongod")

MAX_ENDS, STABLE_SECONDS = 5, 5.0
"""Exits of mongod, none after a run of STABLE_SECONDS, after which it is given up."""

MAX_PAUSE = 5.0
"""Maximum pause before a restart, in seconds; the pause doubles each time."""


class Limits(NamedTuple):
    """Times in seconds, and the size of the log.

    `start`: until mongod accepts writes, recovery after a power cut included. `leftover`: for which a service that was
    just killed, or its mongod, may still hold the directory. `first_pause`: before the first restart.
    `log_check`: between two checks of the log, which is rotated at `log_bytes`.
    """

    start: float = 60.0
    leftover: float = 3.0
    first_pause: float = 0.1
    log_check: float = LOG_CHECK_SECONDS
    log_bytes: int = MAX_BYTES


DEFAULT_LIMITS = Limits()


class EmbeddedMongod:
    """A mongod on `<data_dir>/mongodb`, for one `start` and one `stop`; needs a running event loop.

    `cache_gb`: WiredTiger's cache in GiB, at least 0.25. `failed` gets a StartupError when mongod is given up.
    """

    def __init__(self, data_dir: Path, *, cache_gb: float = 0.5, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._folder = DataDirectory(data_dir)
        self._log = LogFile(self._folder.log_file, limits.log_bytes)
        self._cache_gb = cache_gb
        self._port = 0
        self._mongod: Mongod | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def pid(self) -> int | None:
        """The process id of mongod."""
        return self._mongod.pid if self._mongod is not None else None

    async def start(self) -> str:
        """Start, and return the URI once it accepts writes; the URI contains the password. Raises StartupError."""
        find_binary()
        try:
            leftover = asyncio.get_running_loop().time() + self._limits.leftover
            await self._lock(leftover)
            await self._first_run(leftover)
            uri = self._folder.publish(self._port, REPLICA_SET)
        except BaseException:
            await self.stop()
            raise
        self._keeper = asyncio.create_task(self._keep_alive())
        self._keeper.add_done_callback(self._keeper_ended)
        log.info(
            "the embedded MongoDB runs", extra={"pid": self.pid, "port": self._port, "data": str(self._folder.home)}
        )
        return uri

    async def stop(self) -> None:
        """Stop mongod and wait for its exit, which takes about a second."""
        try:
            if self._keeper is not None:
                self._keeper.cancel()
                await asyncio.wait([self._keeper])
            if self._mongod is not None:
                await self._mongod.stop()
        finally:
            self._folder.release()
            if self.failed.done():
                _ = self.failed.cancelled() or self.failed.exception()  # mark the error as retrieved: it was reported
            self.failed.cancel()

    async def _lock(self, leftover: float) -> None:
        while True:
            try:
                return self._folder.lock()
            except DirectoryInUse:
                if asyncio.get_running_loop().time() > leftover:
                    raise
            await asyncio.sleep(self._limits.first_pause)

    async def _first_run(self, leftover: float) -> None:
        """Run on the previous port, or on another if that is in use, also if it became so after the check."""
        last = self._folder.last_port
        self._port = free_port(last)
        if last not in (None, self._port):
            slow = "the previous port is in use: MongoDB moves to another, which may take half a minute"
            log.warning(slow, extra={"taken": last, "port": self._port})
        while True:
            try:
                return await self._run()
            except StartupError:
                code = self._mongod.code if self._mongod is not None else None
                if code not in (ADDRESS_IN_USE, FOLDER_IN_USE) or asyncio.get_running_loop().time() > leftover:
                    raise
            if code == ADDRESS_IN_USE:
                self._port = free_port()
            await asyncio.sleep(self._limits.first_pause)

    async def _run(self) -> None:
        """Start mongod and wait until it accepts writes. Raises StartupError after mongod has exited."""
        mongod = self._mongod = await Mongod.spawn(
            self._folder,
            self._port,
            self._log,
            cache_gb=self._cache_gb,
            log_check_seconds=self._limits.log_check,
        )
        deadline = asyncio.get_running_loop().time() + self._limits.start
        ended = asyncio.ensure_future(mongod.ended())
        ready = asyncio.ensure_future(
            make_writable(self._port, self._folder.key, self._folder.password, deadline=deadline)
        )
        try:
            await asyncio.wait([ended, ready], return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise StartupError(f"the embedded MongoDB exited at its start: {mongod.failure_reason()}")
            ready.result()
        except TimeoutError as error:
            reason = mongod.failure_reason()
            text = f"the embedded MongoDB was not ready within {self._limits.start:g} seconds ({error}): {reason}"
            await mongod.stop()
            raise StartupError(text) from error
        finally:
            for waiting in (ended, ready):
                waiting.cancel()
            await asyncio.wait([ended, ready])

    async def _keep_alive(self) -> None:
        restarts = RestartBackoff(self._limits.first_pause, MAX_PAUSE, stable=STABLE_SECONDS)
        while self._mongod is not None:
            restarts.started()
            code = await self._mongod.ended()
            pause = restarts.exited()
            reason = self._mongod.failure_reason()
            if restarts.failures >= MAX_ENDS:
                raise StartupError(
                    f"the embedded MongoDB keeps exiting and was given up after {MAX_ENDS} times: {reason}"
                )
            facts = {"pid": self.pid, "code": code, "reason": reason, "pause": pause}
            log.error("the embedded MongoDB exited, restarting it", extra=facts)
            await asyncio.sleep(pause)
            try:
                await self._run()
            except StartupError as error:  # a new process, if any, has exited: that counts as one more exit
                log.error("the embedded MongoDB could not be restarted", extra={"reason": str(error)})
            else:
                log.warning("the embedded MongoDB runs again", extra={"pid": self.pid, "port": self._port})

    def _keeper_ended(self, keeper: asyncio.Task[None]) -> None:
        if keeper.cancelled() or self.failed.done():
            return
        error = keeper.exception()
        if error is not None:
            unexpected = None if isinstance(error, StartupError) else error
            log.error("the embedded MongoDB is given up: %s", error, exc_info=unexpected)
            self.failed.set_exception(error)
