"""The life cycle of a service: it starts, drains and stops the components that wiring.py builds."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, NamedTuple, TextIO

from tornado.httpserver import HTTPServer

from tornado_app.api.rest.probes import ProbeEndpoints
from tornado_app.config import Config, warnings
from tornado_app.core.errors import StartupError
from tornado_app.http import server
from tornado_app.http.cors import Cors
from tornado_app.http.dispatcher import Dispatcher
from tornado_app.http.messages import Route, Router
from tornado_app.http.tornado_delegate import Delegate
from tornado_app.mongo.change_stream.source import EventSource
from tornado_app.mongo.database import open_database
from tornado_app.observability import logs, otel_setup
from tornado_app.observability.metrics import Metrics
from tornado_app.runtime import event_loop
from tornado_app.runtime.gc_policy import run_gc_policy
from tornado_app.runtime.lifecycle import ManagedService, serve_until_stopped
from tornado_app.runtime.tasks import cancel_and_wait
from tornado_app.runtime.tls import ReloadingTls
from tornado_app.service import listeners
from tornado_app.service.boards import SOCKET_SPREAD, BoardsFile
from tornado_app.service.health import Health
from tornado_app.service.wiring import Components, build

log = logging.getLogger("leaderboard.app")

START_TIMEOUT = 60.0
"""Seconds until a board that is not read is reported, or fails the start if the database does not answer."""

CLOSE_TIMEOUT = 2.0
"""Seconds that open connections get to end."""


class WorkerContext(NamedTuple):
    """What the supervisor gives to one of several processes. `uri`: that of its embedded database, if there is one.

    `events`: those of the players. The supervisor also reserves the port, and serves the metrics of all processes.
    """

    uri: str | None
    events: EventSource


class Service(ManagedService):
    """One process of the service, alone or with a `worker`; on a `demo` the page offers to play.

    `extra_routes` are served too. `components` is None until they are built.
    """

    def __init__(
        self,
        config: Config,
        *,
        demo: bool = False,
        extra_routes: Iterable[Route] = (),
        worker: WorkerContext | None = None,
        start_timeout: float = START_TIMEOUT,
    ) -> None:
        super().__init__(config.drain_timeout)
        self.config = config
        self.metrics = Metrics()
        self.components: Components | None = None
        self.url = ""
        self.metrics_url = ""
        self._demo = demo
        self._worker = worker
        self._start_timeout = start_timeout
        self._probes = ProbeEndpoints(self.metrics.registry, self.not_ready, self.refresh_metrics)
        self._extra_routes = [*self._probes.health_routes(), *extra_routes]
        self._server: HTTPServer | None = None
        self._metrics_server: HTTPServer | None = None

    def not_ready(self) -> list[str]:
        """The reasons why the process is not ready; empty if it is."""
        return ["starting"] if self.components is None else self.components.health.reasons()

    def refresh_metrics(self) -> None:
        """Update the gauges for a scrape."""
        if self.components is not None:
            self.components.health.refresh()
            self.components.periods.refresh_metrics()

    # -- starting ---------------------------------------------------------------------------------

    async def _start(self) -> None:
        """Start everything, from the database to the open port. Raises StartupError."""
        config = self.config
        self.metrics.boards_applied.set(1)  # no change of the file has failed; a long start is no alert
        if self._worker is None:
            listeners.check_available(config)
            self._listen_for_probes()
        tracing = otel_setup.from_environment()
        self._exit.push_async_callback(tracing.close)
        client = await self._exit.enter_async_context(
            open_database(
                (self._worker.uri if self._worker else None) or config.read_mongodb_uri(),
                config.mongodb_database,
                data_dir=config.data_dir,
                driver=config.mongodb_driver,
                timeout=config.mongodb_timeout,
                on_failure=self.fail,
                observe=self.metrics.command,
                boards=config.boards,
                owner=config.owner,
                previous_owner=config.database_previous_owner,
                embedded=config.embedded,
            )
        )
        components = self.components = build(
            config,
            client,
            metrics=self.metrics,
            tracing=tracing,
            demo=self._demo,
            extra_routes=self._extra_routes,
            events=None if self._worker is None else self._worker.events,
        )
        await self._run(components)
        boards_file: BoardsFile | None = None
        if config.boards_file is not None:
            boards_file = BoardsFile(config.boards_file, components.boards, self.metrics.boards_applied.set)
        await self._primed(components, boards_file)
        if boards_file is not None:
            self._background("boards file", boards_file.run)
        self._background("gc policy", run_gc_policy)
        self._listen(components)

    async def _run(self, components: Components) -> None:
        """Start the background tasks. Erasures are finished first, as the feed could not attribute their deletes."""
        if components.captcha is not None:
            self._exit.callback(components.captcha.close)
        self._exit.push_async_callback(components.periods.close)
        self._background("periods", components.periods.run)
        await self._planned(components)
        await components.moderation.eraser.try_to_finish()
        self._background("erasures", components.moderation.eraser.run)
        self._background("ledger", components.ledger_writer.run)
        self._exit.push_async_callback(components.ledger_writer.close)
        for name, work in (
            ("feed", components.feed.run),
            ("views", components.views.run),
            ("hub", components.hub.run),
            ("health", components.health.run),
            ("rank check", components.rank_check.run),
            ("storage", components.storage.run),
        ):
            self._background(name, work)
        if components.remote_keys is not None:
            self._exit.push_async_callback(components.remote_keys.aclose)
            await components.remote_keys.start()  # repeated until it succeeds; the board needs no keys

    def _background(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run until the service stops. If the task ends before, the service fails."""
        task = asyncio.ensure_future(work())
        task.add_done_callback(lambda done: self._ended(name, done))
        self._exit.push_async_callback(cancel_and_wait, task)

    def _ended(self, name: str, task: asyncio.Future[None]) -> None:
        if not task.cancelled():
            log.error("background task %s exited", name, exc_info=task.exception())
            self.fail(StartupError(f"internal error: the background task {name} exited; see the log"))

    async def _planned(self, components: Components) -> None:
        """Wait until each period has an open epoch. Raises the error that made this impossible."""
        for board in self.config.boards:
            planning = asyncio.ensure_future(components.periods.wait_planned(board))
            try:
                await asyncio.wait([planning, self.failed], return_when=asyncio.FIRST_COMPLETED)
            finally:
                await cancel_and_wait(planning)
            if self.failed.done():
                self.failed.result()
            planning.result()

    async def _primed(self, components: Components, boards_file: BoardsFile | None) -> None:
        """Wait until the boards are read and the feed is open. Raises the error that made this impossible."""

        async def read() -> None:
            await components.boards.wait_ready()
            await components.feed.wait_open()
            if boards_file is not None and self._worker is not None:
                await boards_file.apply()  # a worker that is restarted has the boards of the supervisor's start

        reading = asyncio.ensure_future(read())
        watched: list[asyncio.Future[Any]] = [reading, self.failed]
        try:
            while not any(future.done() for future in watched):
                done, _ = await asyncio.wait(watched, timeout=self._start_timeout, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    self._check_database(components.health)
        finally:
            reading.cancel()
            await asyncio.wait([reading])
        if self.failed.done():
            self.failed.result()

    def _check_database(self, health: Health) -> None:
        """Log that the board is still loading. Raises StartupError if the database does not answer."""
        why = " and ".join(health.reasons())
        if not health.database_answers:
            raise StartupError(f"the board could not be read within {self._start_timeout:g} seconds: {why}")
        log.warning("board is still loading, not serving yet: %s", why)

    # -- the ports --------------------------------------------------------------------------------

    def _listen_for_probes(self) -> None:
        """Open the metrics port before the database: a start that waits for an index is alive, and not ready."""
        self.metrics.processes.set(1)
        dispatcher = Dispatcher(Router(self._probes.inner_routes()), metrics=self.metrics, cors=Cors())
        self._metrics_server = server.serve(
            Delegate(dispatcher), idle_timeout=self.config.idle_timeout, send_timeout=self.config.send_timeout
        )
        self.metrics_url = listeners.bind_metrics(self._metrics_server, self.config)

    def _listen(self, components: Components) -> None:
        config = self.config
        self._server = server.serve(
            components.delegate,
            idle_timeout=config.idle_timeout,
            body_timeout=config.body_timeout,
            send_timeout=config.send_timeout,
            ssl_context=self._tls_context(),
            interceptor=components.fast_path,
        )
        self.url = listeners.bind(self._server, config, shared=self._worker is not None)

    def _tls_context(self) -> ssl.SSLContext | None:
        if self.config.tls_cert_file is None or self.config.tls_key_file is None:
            return None
        tls = ReloadingTls(self.config.tls_cert_file, self.config.tls_key_file)
        self._background("certificate watch", tls.keep_fresh)
        return tls.context

    # -- ending -----------------------------------------------------------------------------------

    async def _drain(self, deadline: float) -> None:
        """Take no new connections, close the sockets, and finish the work in progress."""
        log.info("draining")
        if self.components is None or self._server is None:
            return  # it has not started
        components = self.components
        components.health.draining = True
        components.dispatcher.draining = True
        self._server.stop()
        try:
            async with asyncio.timeout_at(deadline):
                await components.registry.close(0 if self._demo else SOCKET_SPREAD)
                await components.dispatcher.drained()
                await components.boards.close()
        except TimeoutError:
            log.warning("drain_timeout expired before all requests were answered")

    async def _close(self) -> None:
        try:
            await self._close_ports()
        finally:
            await super()._close()

    async def _close_ports(self) -> None:
        for listener in (self._server, self._metrics_server):
            if listener is not None:
                listener.stop()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CLOSE_TIMEOUT):
                        await listener.close_all_connections()


def serve(config: Config, *, out: TextIO | None = None) -> int:
    """`leaderboard serve`: until SIGTERM or Ctrl-C; the exit code."""
    logs.configure(config.log_level, config.log_format, color=config.color, access=config.access_log)
    for sentence in warnings(config):
        log.warning(sentence)
    stream = out or sys.stdout

    @contextlib.asynccontextmanager
    async def announced(service: Service) -> AsyncIterator[None]:
        announce(service.url, service.metrics_url, stream)
        yield

    return event_loop.run(serve_until_stopped(Service(config), announced))


def announce(url: str, metrics_url: str, out: TextIO) -> None:
    """Print the line that says that the service is ready, and its URLs."""
    out.write(f"leaderboard ready at {url} (metrics at {metrics_url})\n")
    out.flush()
