"""Starts a service, runs it until a signal, drains and stops it."""

from __future__ import annotations

import asyncio
import logging
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, TypeVar

from tornado_app.runtime.tasks import with_deadline

log = logging.getLogger("leaderboard.lifecycle")

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def set_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` on the first SIGTERM or Ctrl-C; the second raises KeyboardInterrupt."""
    loop = asyncio.get_running_loop()

    def ask() -> None:
        if stop.is_set():
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)
            raise KeyboardInterrupt
        stop.set()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, ask)


class ManagedService(ABC):
    """A process of the service, or the supervisor of several.

    `_exit` holds what was started, and stops it in reverse order. `failed` completes with the first fatal error.
    """

    def __init__(self, drain_timeout: float) -> None:
        self._drain_timeout = drain_timeout
        self._deadline: float | None = None
        self._exit = AsyncExitStack()
        self._failed: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Start, until the service is ready. Raises StartupError after stopping what was started."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set. Raises the fatal error, if there is one."""
        await wait_until_stopped(stop, self.failed)

    async def drain(self) -> None:
        """Finish the work in progress, within `drain_timeout`."""
        loop = asyncio.get_running_loop()
        self._deadline = loop.time() + self._drain_timeout
        try:
            await self._drain(self._deadline)
        except asyncio.CancelledError:
            self._deadline = loop.time()  # a second signal
            raise

    async def stop(self) -> None:
        """Stop everything that was started, within `drain_timeout` of the start of the drain. May be called again."""
        deadline = self._deadline
        if deadline is None:
            deadline = asyncio.get_running_loop().time() + self._drain_timeout
        await with_deadline(self._close(), deadline)
        if self.failed.done():
            self.failed.exception()  # retrieved, so that asyncio does not report it; the log has it

    @property
    def failed(self) -> asyncio.Future[None]:
        """Completes with the first fatal error."""
        if self._failed is None:
            self._failed = asyncio.get_running_loop().create_future()
        return self._failed

    def fail(self, error: Exception) -> None:
        """Report a fatal error; the first one counts."""
        if not self.failed.done():
            self.failed.set_exception(error)

    @abstractmethod
    async def _start(self) -> None:
        """Start everything, in order."""

    @abstractmethod
    async def _drain(self, deadline: float) -> None:
        """Finish the work in progress until `deadline` (loop time)."""

    async def _close(self) -> None:
        await self._exit.aclose()


S = TypeVar("S", bound=ManagedService)
OnReady = Callable[[S], AbstractAsyncContextManager[None]]


async def serve_until_stopped(service: S, ready: OnReady[S]) -> int:
    """Start the service and run it until SIGTERM or Ctrl-C; the exit code.

    `ready` is entered when it is ready to serve, and left before it drains. Raises StartupError.
    """
    stop = asyncio.Event()
    set_on_signals(stop)
    code = await run_until(stop, service, ready)
    log.info("stopped")
    return code


async def run_until(stop: asyncio.Event, service: S, ready: OnReady[S]) -> int:
    """As `serve_until_stopped`, until `stop` is set."""
    starting = asyncio.ensure_future(service.start())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await service.stop()  # it may have started after all, if the cancellation came too late
        return 0
    stopping.cancel()
    starting.result()
    try:
        async with ready(service):
            await service.run(stop)
        await service.drain()
    finally:
        await service.stop()
    return 0


async def wait_until_stopped(stop: asyncio.Event, failed: asyncio.Future[None]) -> None:
    """Wait until `stop` is set. Raises the error of `failed` if that completes first."""
    stopping = asyncio.ensure_future(stop.wait())
    watched: list[asyncio.Future[Any]] = [stopping, failed]
    try:
        await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    if failed.done():
        failed.result()
