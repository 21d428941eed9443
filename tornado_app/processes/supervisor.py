"""The supervisor: starts, restarts and stops the workers, and owns what they share.

It owns the embedded database, the change stream, the reservation of the port and the metrics port. It serves no
requests of players.
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
from tornado_app.mongo.change_stream.follower import Follower
from tornado_app.mongo.database import connection, embedded_database
from tornado_app.observability import logs
from tornado_app.observability.metrics import RESTARTS, known_label
from tornado_app.processes.channel import StartWorker
from tornado_app.processes.event_log import EventLog
from tornado_app.processes.probes import AggregatedProbes
from tornado_app.processes.worker_handle import WorkerHandle
from tornado_app.runtime.backoff import RestartBackoff
from tornado_app.runtime.lifecycle import ManagedService, serve_until_stopped, wait_until_stopped
from tornado_app.runtime.tasks import cancel_and_wait, jittered
from tornado_app.service import listeners
from tornado_app.service.service import announce

log = logging.getLogger("leaderboard.processes")

FIRST_PAUSE, MAX_PAUSE = 0.1, 30.0
"""Seconds before a worker that exited is restarted."""

STABLE_SECONDS = 30.0
"""Run time after which a worker that exits is restarted with the first pause again."""


def serve(config: Config, count: int) -> int:
    """`leaderboard serve` with `count` processes, until SIGTERM or Ctrl-C; the exit code. Raises StartupError."""
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


class Supervisor(ManagedService):
    """Keeps `count` workers running on one port."""

    def __init__(self, config: Config, count: int) -> None:
        super().__init__(config.drain_timeout)
        self.url = ""
        self.metrics_url = ""
        self._config = config
        self._workers: list[WorkerHandle | None] = [None] * count
        self._supervisions: list[asyncio.Task[None]] = []
        self._probes = AggregatedProbes(self._workers)
        self._events = EventLog()
        self._all_ready = asyncio.Event()
        self._draining = asyncio.Event()

    async def _start(self) -> None:
        """Start, until all workers are ready. Raises the error of the first worker that fails."""
        config = self._config
        listeners.check_available(config)
        port = self._exit.enter_context(listeners.reserve_port(config))
        uri = None
        if config.embedded:
            uri = await self._exit.enter_async_context(embedded_database(config.data_dir, on_failure=self.fail))
        await self._follow(uri)
        # The table of actions is a mapping proxy, which cannot be pickled.
        given = replace(config, port=port, action_points=dict(config.action_points), sources=dict(config.sources))
        start = StartWorker(pickle.dumps(given), uri)
        self._supervisions = [asyncio.create_task(self._supervise(slot, start)) for slot in range(len(self._workers))]
        for supervision in self._supervisions:
            supervision.add_done_callback(self._on_task_end)
        self._exit.push_async_callback(self._probes.close)
        self._exit.push_async_callback(self._stop_workers)
        self.metrics_url = self._probes.listen(config)
        await wait_until_stopped(self._all_ready, self.failed)
        self.url = listeners.service_url(config, port)

    async def _follow(self, embedded_uri: str | None) -> None:
        """Follow the change stream for all workers, until they have stopped. Raises StartupError."""
        config, metrics = self._config, self._probes.metrics
        uri = embedded_uri or config.read_mongodb_uri() or ""
        client = await self._exit.enter_async_context(
            connection(uri, driver=config.mongodb_driver, timeout=config.mongodb_timeout, observe=metrics.command)
        )
        follower = Follower(
            client,
            config.mongodb_database,
            self._events,
            on_restart=lambda reason: metrics.feed_restarts.labels(known_label(reason, RESTARTS)).inc(),
        )
        following = asyncio.create_task(follower.run())
        following.add_done_callback(self._on_task_end)
        self._exit.push_async_callback(cancel_and_wait, following)

    async def _drain(self, deadline: float) -> None:
        """Have all workers finish the work in progress and exit."""
        self._request_drain()
        await asyncio.wait(self._supervisions, timeout=deadline - asyncio.get_running_loop().time())

    async def _close(self) -> None:
        self._request_drain()
        await super()._close()

    async def _stop_workers(self) -> None:
        """Wait until the workers have exited; if cancelled, kill them."""
        try:
            await asyncio.wait(self._supervisions)
        finally:
            for supervision in self._supervisions:
                supervision.cancel()
            await asyncio.wait(self._supervisions)

    def _request_drain(self) -> None:
        self._probes.draining = True
        self._draining.set()
        for worker in self._workers:
            if worker is not None:
                worker.drain()

    # -- one worker -----------------------------------------------------------------------------------

    async def _supervise(self, slot: int, start: StartWorker) -> None:
        """Run a worker in this slot, and restart it, until the service drains."""
        backoff = RestartBackoff(FIRST_PAUSE, MAX_PAUSE, stable=STABLE_SECONDS)
        while not self._draining.is_set():
            backoff.started()
            try:
                error = await self._run_one(slot, start)
            except OSError as fault:
                error = StartupError(f"a worker process cannot be started: {fault.strerror}")
            if self._draining.is_set():
                return
            if not self._all_ready.is_set():
                self.fail(error)  # a restarted worker would fail for the same reason
                return
            pause = jittered(backoff.exited())
            log.error("worker process exited, restarting it", extra={"reason": str(error), "pause": round(pause, 3)})
            self._probes.metrics.restarts.inc()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._draining.wait()

    async def _run_one(self, slot: int, start: StartWorker) -> Exception:
        """Run a worker until it exits; why it exited."""
        worker = await WorkerHandle.spawn(start, self._events)
        self._workers[slot] = worker
        worker.on_ready = lambda: self._on_worker_ready(worker)
        worker.on_metrics = lambda families: self._probes.collector.update(worker.pid, families)
        try:
            if self._draining.is_set():
                worker.drain()
            code = await worker.wait()
        except asyncio.CancelledError:
            worker.kill()
            await worker.wait()
            raise
        finally:
            self._workers[slot] = None
            self._probes.collector.process_exited(worker.pid)
        return worker.exit_error(code)

    def _on_worker_ready(self, worker: WorkerHandle) -> None:
        log.info("worker process is ready", extra={"pid": worker.pid})
        if all(each is not None and each.ready for each in self._workers):
            self._all_ready.set()

    def _on_task_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.error("a task of the supervisor failed", exc_info=fault)
            self.fail(StartupError("internal error: a task of the supervisor failed; see the log"))
