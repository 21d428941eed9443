"""The supervisor: starts the processes, keeps them running, ends them, and has what there is only one of.

That is the embedded database, the port's reservation and the port of the metrics. It serves no requests of players.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import sys
from collections.abc import AsyncIterator
from dataclasses import replace

from tornado_app.config import Config, warnings
from tornado_app.core.errors import StartupError
from tornado_app.mongo.database import embedded_database
from tornado_app.observability import logs
from tornado_app.processes.backoff import Backoff
from tornado_app.processes.channel import Orders
from tornado_app.processes.child import Child
from tornado_app.processes.operations import Operations
from tornado_app.runtime.lifecycle import Serving, serve_until_stopped, until
from tornado_app.service import listeners
from tornado_app.service.service import announce

log = logging.getLogger("leaderboard.processes")


def serve(config: Config, count: int) -> int:
    """`leaderboard serve` with so many processes: until SIGTERM or Ctrl-C; the exit code. Raises StartupError."""
    logs.configure(
        config.log_level, config.log_format, color=config.color, process=os.getpid(), access=config.access_log
    )
    for sentence in warnings(config):
        log.warning(sentence)

    @contextlib.asynccontextmanager
    async def announced(supervisor: Supervisor) -> AsyncIterator[None]:
        announce(supervisor.url, supervisor.metrics_url, sys.stdout)
        yield

    return asyncio.run(serve_until_stopped(Supervisor(config, count), announced))


class Supervisor(Serving):
    """Keeps `count` processes serving on one port."""

    def __init__(self, config: Config, count: int) -> None:
        super().__init__(config.drain_timeout)
        self.url = ""
        self.metrics_url = ""
        self._config = config
        self._children: list[Child | None] = [None] * count
        self._keepers: list[asyncio.Task[None]] = []
        self._operations = Operations(self._children)
        self._all_ready = asyncio.Event()
        self._ending = asyncio.Event()

    async def _start(self) -> None:
        """Everything until all processes serve. Raises what kept the first of them that failed from it."""
        config = self._config
        listeners.look_at(config)
        port = self._exit.enter_context(listeners.reserved(config))
        uri = None
        if config.embedded:
            uri = await self._exit.enter_async_context(embedded_database(config.data_dir, on_failure=self.fail))
        # A mapping proxy, which the table of actions is, cannot be pickled.
        given = replace(config, port=port, action_points=dict(config.action_points), sources=dict(config.sources))
        orders = Orders(pickle.dumps(given), uri)
        self._keepers = [asyncio.create_task(self._keep(place, orders)) for place in range(len(self._children))]
        for keeper in self._keepers:
            keeper.add_done_callback(self._kept)
        self._exit.push_async_callback(self._operations.close)
        self._exit.push_async_callback(self._end_children)
        self.metrics_url = self._operations.listen(config)
        await until(self._all_ready, self.failed)
        self.url = listeners.service_url(config, port)

    async def _drain(self, deadline: float) -> None:
        """Have all processes finish what is under way and end."""
        self._tell_to_end()
        await asyncio.wait(self._keepers, timeout=deadline - asyncio.get_running_loop().time())

    async def _close(self) -> None:
        self._tell_to_end()
        await super()._close()

    async def _end_children(self) -> None:
        """Let them end; when cancelled, by force."""
        try:
            await asyncio.wait(self._keepers)
        finally:
            for keeper in self._keepers:
                keeper.cancel()
            await asyncio.wait(self._keepers)

    def _tell_to_end(self) -> None:
        self._operations.draining = True
        self._ending.set()
        for child in self._children:
            if child is not None:
                child.drain()

    # -- one process's place --------------------------------------------------------------------------

    async def _keep(self, place: int, orders: Orders) -> None:
        """Have a process in this place until the service ends."""
        backoff = Backoff()
        while not self._ending.is_set():
            backoff.began()
            try:
                error = await self._run_one(place, orders)
            except OSError as fault:
                error = StartupError(f"a worker process cannot be started: {fault.strerror}")
            if self._ending.is_set():
                return
            if not self._all_ready.is_set():
                self.fail(error)  # what the first ones die of, the next ones would die of too
                return
            pause = backoff.ended()
            log.error("worker process exited, restarting it", extra={"reason": str(error), "pause": round(pause, 3)})
            self._operations.metrics.restarts.inc()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._ending.wait()

    async def _run_one(self, place: int, orders: Orders) -> Exception:
        """Run a process to its end; why it ended."""
        child = await Child.spawn(orders)
        self._children[place] = child
        child.serves = lambda: self._serves(child)
        child.measured = lambda families: self._operations.joined.put(child.pid, families)
        try:
            if self._ending.is_set():
                child.drain()
            code = await child.ended()
        except asyncio.CancelledError:
            child.kill()
            await child.ended()
            raise
        finally:
            self._children[place] = None
            self._operations.joined.end(child.pid)
        return child.fault(code)

    def _serves(self, child: Child) -> None:
        log.info("worker process is ready", extra={"pid": child.pid})
        if all(each is not None and each.ready for each in self._children):
            self._all_ready.set()

    def _kept(self, keeper: asyncio.Task[None]) -> None:
        if not keeper.cancelled() and (fault := keeper.exception()) is not None:
            log.error("supervision of a worker process failed", exc_info=fault)
            self.fail(StartupError("internal error: supervision of a worker process failed; see the log"))
