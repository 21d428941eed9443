"""Running what serves until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, TypeVar

from tornado_app.runtime.tasks import in_time

log = logging.getLogger("leaderboard.lifecycle")

ASKING = (signal.SIGTERM, signal.SIGINT)


def on_signals(stop: asyncio.Event) -> None:
    """The first SIGTERM or Ctrl-C asks to stop, the second insists."""
    loop = asyncio.get_running_loop()

    def ask() -> None:
        if stop.is_set():
            for number in ASKING:
                loop.remove_signal_handler(number)
            raise KeyboardInterrupt
        stop.set()

    for number in ASKING:
        loop.add_signal_handler(number, ask)


class Serving(ABC):
    """What serves: a process of the service, or the supervisor of several.

    What is started goes to `_exit`, which ends it, last first. Once `failed` has an error, going on is impossible.
    """

    def __init__(self, drain_timeout: float) -> None:
        self._drain_timeout = drain_timeout
        self._deadline: float | None = None
        self._exit = AsyncExitStack()
        self._failed: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Everything until it serves. Raises StartupError, and nothing is left running then."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set. Raises what made going on impossible."""
        await until(stop, self.failed)

    async def drain(self) -> None:
        """Finish what is under way, within `drain_timeout`."""
        loop = asyncio.get_running_loop()
        self._deadline = loop.time() + self._drain_timeout
        try:
            await self._drain(self._deadline)
        except asyncio.CancelledError:
            self._deadline = loop.time()  # somebody insists
            raise

    async def stop(self) -> None:
        """End everything that was started, within `drain_timeout` of being told to stop; may be called again."""
        deadline = self._deadline
        if deadline is None:
            deadline = asyncio.get_running_loop().time() + self._drain_timeout
        await in_time(self._close(), deadline)
        if self.failed.done():
            self.failed.exception()  # a fault while we stop anyway is in the log, and nobody waits for it here

    @property
    def failed(self) -> asyncio.Future[None]:
        """Done where going on is impossible, with the reason."""
        if self._failed is None:
            self._failed = asyncio.get_running_loop().create_future()
        return self._failed

    def fail(self, error: Exception) -> None:
        """Going on is impossible; the first reason counts."""
        if not self.failed.done():
            self.failed.set_exception(error)

    @abstractmethod
    async def _start(self) -> None:
        """Start everything, in order."""

    @abstractmethod
    async def _drain(self, deadline: float) -> None:
        """Finish what is under way until `deadline`, in loop time."""

    async def _close(self) -> None:
        await self._exit.aclose()


S = TypeVar("S", bound=Serving)
Entered = Callable[[S], AbstractAsyncContextManager[None]]


async def serve_until_stopped(service: S, ready: Entered[S]) -> int:
    """Start the service and run it until SIGTERM or Ctrl-C; the exit code.

    `ready` is entered when it is ready to serve, and left before it drains. Raises StartupError.
    """
    stop = asyncio.Event()
    on_signals(stop)
    code = await serve_until(stop, service, ready)
    log.info("stopped")
    return code


async def serve_until(stop: asyncio.Event, service: S, ready: Entered[S]) -> int:
    """The same until `stop` is set."""
    starting = asyncio.ensure_future(service.start())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await service.stop()  # the cancellation came too late, or was lost, and it has started after all
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


async def until(stop: asyncio.Event, failed: asyncio.Future[None]) -> None:
    """Wait until `stop` is set. Raises what `failed` is completed with."""
    stopping = asyncio.ensure_future(stop.wait())
    watched: list[asyncio.Future[Any]] = [stopping, failed]
    try:
        await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    if failed.done():
        failed.result()
