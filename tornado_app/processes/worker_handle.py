"""A worker process, as the supervisor sees it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable

from tornado_app.core.errors import ConfigError, StartupError
from tornado_app.observability.aggregation import Family
from tornado_app.processes.channel import (
    Channel,
    Drain,
    Fault,
    MetricsReport,
    ReadinessReport,
    Ready,
    Request,
    StartWorker,
    Topic,
)
from tornado_app.processes.event_log import EventLog
from tornado_app.processes.relay import serve_events
from tornado_app.runtime import parent_death

REPORT_TIMEOUT = 2.0
"""Maximum seconds to wait for a report; a worker with a blocked event loop does not send one."""

_WORKER = "tornado_app.processes.worker"


def _python() -> list[str]:
    """The interpreter; it imports from the working directory only if this process does too."""
    return [sys.executable] if os.getcwd() in sys.path else [sys.executable, "-P"]  # noqa: PTH109  # sys.path has texts


class WorkerHandle:
    """A running worker; `spawn` starts one. `reasons`: why it is not ready, by its last report.

    `on_metrics` is called with each report of metrics, `on_ready` when the worker is ready.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, channel: Channel, serving_events: asyncio.Task[None]
    ) -> None:
        self.pid = process.pid
        self.ready = False
        self.reasons: list[str] = []
        self.on_metrics: Callable[[list[Family]], None] = lambda families: None
        self.on_ready: Callable[[], None] = lambda: None
        self._process = process
        self._channel = channel
        self._fault: Fault | None = None
        self._pending: dict[Topic, asyncio.Future[None]] = {}
        self._reading = asyncio.create_task(self._read())
        self._serving_events = serving_events
        serving_events.add_done_callback(self._on_events_end)

    @classmethod
    async def spawn(cls, start: StartWorker, events: EventLog) -> WorkerHandle:
        """Start a worker, which is killed when this process ends, and send it the events. Raises OSError.

        It has its own session, so that only the supervisor receives Ctrl-C.
        """
        with contextlib.ExitStack() as own_ends:
            own_end, worker_end = socket.socketpair()
            own_events_end, worker_events_end = socket.socketpair()
            own_ends.enter_context(own_end)
            own_ends.enter_context(own_events_end)
            with worker_end, worker_events_end:
                descriptors = [worker_end.fileno(), worker_events_end.fileno()]
                command = parent_death.command(*_python(), "-m", _WORKER, *map(str, descriptors))
                process = await asyncio.create_subprocess_exec(
                    *command, stdin=asyncio.subprocess.PIPE, pass_fds=descriptors, start_new_session=True
                )
            own_ends.pop_all()
        channel = await Channel.from_socket(own_end)
        channel.send(start)
        return cls(process, channel, asyncio.create_task(serve_events(own_events_end, events)))

    async def wait(self) -> int:
        """Wait until it has exited and all its messages are read; the exit code, negative for a signal.

        Raises the error for which it was sent no more events.
        """
        code = await self._process.wait()
        await self._reading
        await self._channel.close()
        await self._serving_events
        return code

    def exit_error(self, code: int) -> StartupError | ConfigError:
        """The error for this exit code, or the one that the worker reported."""
        if self._fault is None:
            return StartupError(f"worker process {self.pid} exited with code {code}; see the log")
        return ConfigError(self._fault.lines) if self._fault.settings else StartupError(" ".join(self._fault.lines))

    def drain(self) -> None:
        """Have it finish the work in progress, and exit."""
        self._channel.send(Drain())

    def kill(self) -> None:
        """Kill it."""
        with contextlib.suppress(ProcessLookupError):  # it has already exited
            self._process.send_signal(signal.SIGKILL)

    async def request(self, topic: Topic) -> bool:
        """Request a report; returns whether it came in time. Concurrent requests share one report."""
        answer = self._pending.get(topic)
        if answer is None:
            answer = self._pending[topic] = asyncio.get_running_loop().create_future()
            self._channel.send(Request(topic))
        await asyncio.wait([answer], timeout=REPORT_TIMEOUT)
        return answer.done() and not answer.cancelled()

    async def _read(self) -> None:
        while (message := await self._channel.receive()) is not None:
            match message:
                case Ready():
                    self.ready = True
                    self.on_ready()
                case Fault():
                    self._fault = message
                case MetricsReport(families):
                    self.on_metrics(families)
                    self._complete("metrics")
                case ReadinessReport(reasons):
                    self.reasons = reasons
                    self._complete("readiness")
        self.ready = False
        for answer in self._pending.values():
            answer.cancel()

    def _on_events_end(self, serving: asyncio.Task[None]) -> None:
        if not serving.cancelled() and serving.exception() is not None:  # `wait` raises it
            self.kill()

    def _complete(self, topic: Topic) -> None:
        answer = self._pending.pop(topic, None)
        if answer is not None:
            answer.set_result(None)
