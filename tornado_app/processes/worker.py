"""`python -m tornado_app.processes.worker CONTROL EVENTS`: a worker, with the descriptors of its two sockets.

On SIGTERM it drains and exits, and the supervisor starts another.
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
from tornado_app.processes.channel import (
    Channel,
    Drain,
    Fault,
    MetricsReport,
    ReadinessReport,
    Ready,
    Request,
    StartWorker,
)
from tornado_app.processes.relay import RelayedEvents
from tornado_app.runtime import event_loop
from tornado_app.runtime.lifecycle import run_until
from tornado_app.service.service import Service, WorkerContext

FAILED = 1


async def work(control: socket.socket, events: socket.socket) -> int:
    """Serve with the settings of StartWorker until Drain; the exit code."""
    channel = await Channel.from_socket(control)
    relayed = await RelayedEvents.from_socket(events)
    try:
        start = await channel.receive()
        return await _serve(channel, start, relayed) if isinstance(start, StartWorker) else FAILED
    finally:
        await relayed.close()
        await channel.close()


async def _serve(channel: Channel, start: StartWorker, events: RelayedEvents) -> int:
    config: Config = pickle.loads(start.config)  # noqa: S301  # from the supervisor, over a private socket
    logs.configure(
        config.log_level, config.log_format, color=config.color, process=os.getpid(), access=config.access_log
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    service = Service(config, worker=WorkerContext(start.uri, events))
    handling = asyncio.create_task(_handle_messages(channel, service, stop))

    @contextlib.asynccontextmanager
    async def ready(_: Service) -> AsyncIterator[None]:
        channel.send(Ready())
        yield

    try:
        return await run_until(stop, service, ready)
    except ConfigError as error:
        channel.send(Fault(list(error.faults), settings=True))
    except StartupError as error:
        channel.send(Fault([str(error)]))
    finally:
        channel.send(MetricsReport(families(service.metrics)))  # so that its counts are kept
        handling.cancel()
    return FAILED


async def _handle_messages(channel: Channel, service: Service, stop: asyncio.Event) -> None:
    while (message := await channel.receive()) is not None:
        match message:
            case Drain():
                stop.set()
            case Request("metrics"):
                service.refresh_metrics()
                channel.send(MetricsReport(families(service.metrics)))
            case Request("readiness"):
                channel.send(ReadinessReport(service.not_ready()))
    stop.set()  # the supervisor has ended


if __name__ == "__main__":
    sys.exit(event_loop.run(work(*(socket.socket(fileno=int(each)) for each in sys.argv[1:]))))
