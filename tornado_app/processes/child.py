"""One of the processes, as the supervisor sees it."""

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
from tornado_app.processes.channel import Ask, Channel, Drain, Fault, Measured, Orders, Readiness, Ready, Topic
from tornado_app.runtime import parent_death

ASK_SECONDS = 2.0
"""How long an answer is waited for; a process whose event loop is held up is not."""

_WORKER = "tornado_app.processes.worker"


def _python() -> list[str]:
    """The interpreter, which imports from the working directory only where this process does too."""
    return [sys.executable] if os.getcwd() in sys.path else [sys.executable, "-P"]  # noqa: PTH109  # sys.path has texts


class Child:
    """A running process; `spawn` makes one. `reasons`: why no traffic should come to it, as last told.

    `measured` is told its metrics whenever they come in, `serves` when it is ready.
    """

    def __init__(self, process: asyncio.subprocess.Process, channel: Channel) -> None:
        self.pid = process.pid
        self.ready = False
        self.reasons: list[str] = []
        self.measured: Callable[[list[Family]], None] = lambda families: None
        self.serves: Callable[[], None] = lambda: None
        self._process = process
        self._channel = channel
        self._fault: Fault | None = None
        self._asked: dict[Topic, asyncio.Future[None]] = {}
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def spawn(cls, orders: Orders) -> Child:
        """Start a process, which ends with this one. Raises OSError.

        It has a session of its own: Ctrl-C is for the supervisor alone, which then tells it.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            command = parent_death.command(*_python(), "-m", _WORKER, str(theirs.fileno()))
            try:
                process = await asyncio.create_subprocess_exec(
                    *command, stdin=asyncio.subprocess.PIPE, pass_fds=[theirs.fileno()], start_new_session=True
                )
            except OSError:
                ours.close()
                raise
        channel = await Channel.over(ours)
        channel.send(orders)
        return cls(process, channel)

    async def ended(self) -> int:
        """Wait until it has ended and all that it said is known; the exit code, negative for a signal."""
        code = await self._process.wait()
        await self._reading
        await self._channel.close()
        return code

    def fault(self, code: int) -> StartupError | ConfigError:
        """Why it has ended."""
        if self._fault is None:
            return StartupError(f"worker process {self.pid} exited with code {code}; see the log")
        return ConfigError(self._fault.lines) if self._fault.settings else StartupError(" ".join(self._fault.lines))

    def drain(self) -> None:
        """Have it finish what is under way, and end."""
        self._channel.send(Drain())

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            self._process.send_signal(signal.SIGKILL)

    async def ask(self, topic: Topic) -> bool:
        """Have it tell about `topic`; whether it did in time. Who asks while an answer is due waits for that one."""
        answer = self._asked.get(topic)
        if answer is None:
            answer = self._asked[topic] = asyncio.get_running_loop().create_future()
            self._channel.send(Ask(topic))
        await asyncio.wait([answer], timeout=ASK_SECONDS)
        return answer.done() and not answer.cancelled()

    async def _read(self) -> None:
        while (message := await self._channel.receive()) is not None:
            match message:
                case Ready():
                    self.ready = True
                    self.serves()
                case Fault():
                    self._fault = message
                case Measured(families):
                    self.measured(families)
                    self._answered("metrics")
                case Readiness(reasons):
                    self.reasons = reasons
                    self._answered("readiness")
        self.ready = False
        for answer in self._asked.values():
            answer.cancel()

    def _answered(self, topic: Topic) -> None:
        answer = self._asked.pop(topic, None)
        if answer is not None:
            answer.set_result(None)
