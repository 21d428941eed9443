"""Running what serves until it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from tornado_app.signals import on_signals


class Serving(Protocol):
    """What serves: a process of the service, or the supervisor of several."""

    async def start(self) -> None:
        """Everything until it serves. Raises StartupError, and nothing is left running then."""

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set. Raises what made going on impossible."""

    async def drain(self) -> None:
        """Finish what is under way."""

    async def stop(self) -> None:
        """End everything that was started; may be called again."""


S = TypeVar("S", bound=Serving)
Entered = Callable[[S], AbstractAsyncContextManager[None]]


async def serve_until_stopped(service: S, ready: Entered[S]) -> int:
    """Start the service and run it until SIGTERM or Ctrl-C; the exit code.

    `ready` is entered when it is ready to serve, and left before it drains. Raises StartupError.
    """
    stop = asyncio.Event()
    on_signals(stop)
    return await serve_until(stop, service, ready)


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
