"""`python -m tornado_app.processes.worker DESCRIPTOR`: one of the processes, told what to do over that socket.

SIGTERM makes it finish and end, and the supervisor start another.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import socket
import sys
from collections.abc import AsyncIterator

from tornado_app.config import Config
from tornado_app.core.errors import ConfigError, StartupError
from tornado_app.observability import logs
from tornado_app.observability.aggregation import families
from tornado_app.processes.channel import Ask, Channel, Drain, Fault, Measured, Orders, Readiness, Ready
from tornado_app.runtime import event_loop
from tornado_app.runtime.lifecycle import serve_until
from tornado_app.service.service import Service, Share

FAILED = 1


async def work(end: socket.socket) -> int:
    """Serve as ordered, until told to end; the exit code."""
    channel = await Channel.over(end)
    try:
        orders = await channel.receive()
        return await _serve(channel, orders) if isinstance(orders, Orders) else FAILED
    finally:
        await channel.close()


async def _serve(channel: Channel, orders: Orders) -> int:
    config: Config = pickle.loads(orders.config)  # noqa: S301  # from the supervisor, over a socket that only it has
    logs.configure(
        config.log_level, config.log_format, color=config.color, process=os.getpid(), access=config.access_log
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    service = Service(config, share=Share(orders.uri))
    obeying = asyncio.create_task(_obey(channel, service, stop))

    @contextlib.asynccontextmanager
    async def ready(_: Service) -> AsyncIterator[None]:
        channel.send(Ready())
        yield

    try:
        return await serve_until(stop, service, ready)
    except ConfigError as error:
        channel.send(Fault(list(error.faults), settings=True))
    except StartupError as error:
        channel.send(Fault([str(error)]))
    finally:
        channel.send(Measured(families(service.metrics)))  # so that what it has counted outlives it
        obeying.cancel()
    return FAILED


async def _obey(channel: Channel, service: Service, stop: asyncio.Event) -> None:
    while (message := await channel.receive()) is not None:
        match message:
            case Drain():
                stop.set()
            case Ask("metrics"):
                service.health.refresh()
                channel.send(Measured(families(service.metrics)))
            case Ask("readiness"):
                channel.send(Readiness(service.health.reasons()))
    stop.set()  # the supervisor has gone


if __name__ == "__main__":
    sys.exit(event_loop.run(work(socket.socket(fileno=int(sys.argv[1])))))
