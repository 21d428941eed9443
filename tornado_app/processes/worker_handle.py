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

    def __init__(self, process: asyncio.subprocess.Process, channel: Channel) -> None:
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

    @classmethod
    async def spawn(cls, start: StartWorker) -> WorkerHandle:
        """Start a worker, which is killed when this process ends. Raises OSError.

        It has its own session, so that only the supervisor receives Ctrl-C.
        """
        own_end, worker_end = socket.socketpair()
        with worker_end:
            command = parent_death.command(*_python(), "-m", _WORKER, str(worker_end.fileno()))
            try:
                process = await asyncio.create_subprocess_exec(
                    *command, stdin=asyncio.subprocess.PIPE, pass_fds=[worker_end.fileno()], start_new_session=True
                )
            except OSError:
                own_end.close()
                raise
        channel = await Channel.from_socket(own_end)
        channel.send(start)
        return cls(process, channel)

    async def wait(self) -> int:
        """Wait until it has exited and all its messages are read; the exit code, negative for a signal."""
        code = await self._process.wait()
        await self._reading
        await self._channel.close()
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

    def _complete(self, topic: Topic) -> None:
        answer = self._pending.pop(topic, None)
        if answer is not None:
            answer.set_result(None)
