"""The composition root: builds, starts and stops everything; the only place that wires."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, NamedTuple, TextIO, get_args

from tornado_app.api import metric_series, pages
from tornado_app.api.authentication import Authenticator
from tornado_app.api.frontends import FRONTENDS
from tornado_app.api.rest import probes
from tornado_app.api.rest.history import HistoryEndpoints
from tornado_app.api.rest.load_shedding import LoadShedder
from tornado_app.api.rest.moderation import ModerationEndpoints
from tornado_app.api.rest.routes import rest_routes
from tornado_app.api.rest.submission_log import SubmissionRecorder
from tornado_app.api.websocket.connections import ConnectionRegistry
from tornado_app.api.websocket.handler import application
from tornado_app.auth.captcha import Captcha
from tornado_app.auth.remote import Outcome, RemoteKeys
from tornado_app.config import Config, warnings
from tornado_app.core.abuse import AbuseDetector, AbuseRule
from tornado_app.core.errors import LeaderboardError, StartupError
from tornado_app.core.ledger import EntryKind
from tornado_app.core.model import TopPlayers
from tornado_app.core.moderation import Moderation, ModerationRequest
from tornado_app.core.origins import HostPatterns
from tornado_app.core.scoreboard import Scoreboard
from tornado_app.core.validation import SubmissionValidator
from tornado_app.http import server
from tornado_app.http.client_address import FailureLimiter, TrustedProxies
from tornado_app.http.cors import Cors
from tornado_app.http.dispatcher import Dispatcher
from tornado_app.http.fast_path import FastPath
from tornado_app.http.messages import Route, Router
from tornado_app.http.tornado_delegate import Delegate
from tornado_app.live.board import Board
from tornado_app.live.hub import Hub
from tornado_app.mongo.change_stream.feed import Feed
from tornado_app.mongo.change_stream.rank_check import RankCheck
from tornado_app.mongo.client.cluster_time import wall_clock
from tornado_app.mongo.client.errors import database_errors
from tornado_app.mongo.database import open_database
from tornado_app.mongo.ledger.reader import Ledger
from tornado_app.mongo.ledger.writer import LedgerWriter
from tornado_app.mongo.players.moderation import MongoModeration
from tornado_app.mongo.players.store import MongoStore
from tornado_app.mongo.players.suspects import Suspects
from tornado_app.mongo.storage import StorageMonitor
from tornado_app.observability import logs, otel_setup, tracing
from tornado_app.observability.metrics import RESTARTS, Metrics, known_label
from tornado_app.runtime import event_loop
from tornado_app.runtime.gc_policy import run_gc_policy
from tornado_app.runtime.lifecycle import ManagedService, serve_until_stopped
from tornado_app.runtime.tasks import cancel_and_wait
from tornado_app.runtime.tls import ReloadingTls
from tornado_app.service import keys, listeners
from tornado_app.service.health import Health

log = logging.getLogger("leaderboard.app")

START_TIMEOUT = 60.0
"""Seconds until a board that cannot be read is a failed start where the database does not answer either."""

TLS_REFRESH = 2.0
"""Seconds between two looks at the certificate's files."""

CLOSE_TIMEOUT = 2.0
"""Seconds that open connections get to end."""

SOCKET_SPREAD = 1.5
"""Seconds over which a drain closes the sockets."""


class WorkerContext(NamedTuple):
    """What one of several processes has in common with the others, besides the port: `uri`, if the database is theirs.

    Their supervisor looks after that database, keeps the port for them, and serves the metrics of all.
    """

    uri: str | None


class Service(ManagedService):
    """One process of the service, alone or with a `worker`; on a `demo` the page offers to play.

    `extra_routes` are served too.
    """

    def __init__(
        self,
        config: Config,
        *,
        demo: bool = False,
        extra_routes: Iterable[Route] = (),
        worker: WorkerContext | None = None,
    ) -> None:
        super().__init__(config.drain_timeout)
        self.config = config
        self._demo = demo
        self._extra_routes = list(extra_routes)
        self._worker = worker
        self._newest: int | None = None
        self._built = False
        self.metrics = Metrics()
        self._probes = probes.ProbeEndpoints(self.metrics.registry, self._not_ready, self._refresh)
        self.tracing = tracing.NO_TRACING
        self.url = ""
        self.metrics_url = ""

    async def _start(self) -> None:
        """Everything from the database to the open port, in this order. Raises StartupError."""
        config, metrics = self.config, self.metrics
        if self._worker is None:
            listeners.check_available(config)
            self._listen_for_probes()
        self.tracing = otel_setup.from_environment()
        self._exit.push_async_callback(self.tracing.close)
        self.client = await self._exit.enter_async_context(
            open_database(
                (self._worker.uri if self._worker else None) or config.read_mongodb_uri(),
                config.mongodb_database,
                data_dir=config.data_dir,
                driver=config.mongodb_driver,
                timeout=config.mongodb_timeout,
                on_failure=self.fail,
                observe=metrics.command,
                owner=config.owner,
                previous_owner=config.database_previous_owner,
                embedded=config.embedded,
            )
        )
        self._build()
        await self.moderation.eraser.try_to_finish()  # before the feed, which would not know whose the deletes are
        await self._background("erasures", self.moderation.eraser.run)
        await self._background("ledger", self.ledger_writer.run)
        self._exit.push_async_callback(self.ledger_writer.close)
        for name, work in (("feed", self.feed.run), ("board", self.board.run), ("hub", self.hub.run)):
            await self._background(name, work)
        for name, work in (("health", self.health.run), ("rank check", self.rank_check.run)):
            await self._background(name, work)
        await self._background("storage", self.storage.run)
        if self.token_keys.remote is not None:
            await self._fetch_keys(self.token_keys.remote)
        await self._primed()
        await self._background("gc policy", run_gc_policy)
        await self._listen()

    def _build(self) -> None:
        config, metrics = self.config, self.metrics
        self.store = MongoStore(
            self.client,
            config.mongodb_database,
            policy=config.write_policy,
            timeout=config.mongodb_timeout,
            max_waiting=config.max_pending_writes,
            observe_batch=metrics.batch_size.observe,
            tracing=self.tracing,
        )
        metrics.pending_writes.set_function(lambda: self.store.waiting)
        self.hub = Hub(
            gap=1 / config.max_messages_per_second,
            observe=lambda channel, messages: metrics.socket_messages.labels(channel).inc(messages),
            shown=self._shown,
            should_yield=lambda: self.store.busy,
            tracing=self.tracing,
        )
        self.board = Board(self.store.top, self.hub, interval=config.broadcast_interval, tracing=self.tracing)
        self.feed = Feed(
            self.client,
            config.mongodb_database,
            self.board,
            on_restart=lambda reason: metrics.feed_restarts.labels(known_label(reason, RESTARTS)).inc(),
            cache=self.store.cache,
        )
        self.rank_check = RankCheck(
            self.client,
            config.mongodb_database,
            self.board,
            self.feed,
            observe=lambda result: metrics.rank_checks.labels(result).inc(),
        )
        self.token_keys = keys.token_keys(config, lambda result: metrics.jwks_refreshes.labels(result).inc())
        verifier = keys.refreshing_verifier(config, self.token_keys)
        worst = config.auth_failure_limit
        self.authenticator = Authenticator(verifier, FailureLimiter(worst.updates, worst.window))
        validator = SubmissionValidator(
            actions=config.action_points,
            max_increment=config.max_increment,
            auto_register=config.auto_register,
            policy=config.proof_policy,
            proofs=keys.proof_verifier(config, self.token_keys),
        )
        self.scoreboard = Scoreboard(self.store, self.board, validator, self._captcha())
        self.ledger = Ledger(self.client[config.mongodb_database])
        self.ledger_writer = self._ledger_writer()
        self.storage = StorageMonitor(
            self.client,
            config.mongodb_database,
            collections=lambda name, size: metrics.collection_bytes.labels(name).set(size),
            disk=lambda state, size: metrics.disk_bytes.labels(state).set(size),
        )
        self.moderation = MongoModeration(self.client, config.mongodb_database, self.ledger)
        self.suspects = Suspects(self.client[config.mongodb_database])
        self.health = Health(self.board, self.feed, metrics)
        self._built = True

    def _ledger_writer(self) -> LedgerWriter:
        metrics = self.metrics
        for kind in EntryKind:
            metrics.ledger_entries.labels(kind)
        writer = LedgerWriter(
            self.client,
            self.config.mongodb_database,
            on_appended=lambda kind, count: metrics.ledger_entries.labels(kind).inc(count),
            feed=self.feed,
        )
        metrics.ledger_lag.set_function(lambda: writer.lag)
        metrics.ledger_writer.set_function(lambda: writer.holds)
        return writer

    def _suspect(self, player: str, rule: AbuseRule) -> None:
        """Note who broke a rule, and stop the player where that is configured; the submission is answered meanwhile."""
        self.dispatcher.spawn(self._note(player, rule))
        if self.config.auto_suspend:
            self.dispatcher.spawn(self._suspend(ModerationRequest(player, f"rule:{rule}", "suspended until reviewed")))

    async def _note(self, player: str, rule: AbuseRule) -> None:
        try:
            async with database_errors(self.config.mongodb_timeout):
                await self.suspects.note(player, rule)
        except LeaderboardError as error:
            log.error("abuse report could not be stored", extra={"player": player, "rule": rule, "error": error.code})

    async def _suspend(self, case: ModerationRequest) -> None:
        try:
            await self.moderation.suspend(case)
        except LeaderboardError as error:
            log.error("automatic suspension of a player failed", extra={"player": case.user_id, "error": error.code})

    def _captcha(self) -> Captcha | None:
        secret = self.config.read_captcha_secret()
        if self.config.captcha_url is None or secret is None:
            return None
        captcha = Captcha(self.config.captcha_url, secret)
        self._exit.callback(captcha.close)
        return captcha

    async def _fetch_keys(self, remote: RemoteKeys) -> None:
        """Have the identity provider's keys, or go on asking for them: who only watches the board needs none."""
        metrics = self.metrics
        for result in get_args(Outcome):
            metrics.jwks_refreshes.labels(result)
        metrics.jwks_age.set_function(lambda: math.inf if remote.age is None else remote.age)
        self._exit.push_async_callback(remote.aclose)
        await remote.start()

    def _shown(self, top: TopPlayers) -> None:
        """A broadcast has reached all; what was there when we came, or before somebody was hidden, is no news."""
        newest = max((standing.player.updated_at for standing in top.standings), default=0)
        before, self._newest = self._newest, max(newest, self._newest or 0)
        if before is not None and newest > before:
            self.metrics.propagation.observe(max(0.0, (wall_clock() - newest) / 1000))

    async def _background(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run for as long as the service does; should it end by itself, the service fails."""
        task = asyncio.ensure_future(work())
        task.add_done_callback(lambda done: self._ended(name, done))

        self._exit.push_async_callback(cancel_and_wait, task)

    def _ended(self, name: str, task: asyncio.Future[None]) -> None:
        if not task.cancelled():
            log.error("background task %s exited", name, exc_info=task.exception())
            self.fail(StartupError(f"internal error: the background task {name} exited; see the log"))

    async def _primed(self) -> None:
        """Wait until what is served is known and is kept up to date. Raises what made that impossible."""

        async def read() -> None:
            await self.board.wait_ready()
            await self.feed.wait_open()

        reading = asyncio.ensure_future(read())
        watched: list[asyncio.Future[Any]] = [reading, self.failed]
        try:
            while not any(future.done() for future in watched):
                done, _ = await asyncio.wait(watched, timeout=START_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    self._still_reading()
        finally:
            reading.cancel()
            await asyncio.wait([reading])
        if self.failed.done():
            self.failed.result()

    def _still_reading(self) -> None:
        """A large board on a busy database takes its time. Raises StartupError where the database does not answer."""
        why = " and ".join(self.health.reasons())
        if not self.health.database_answers:
            raise StartupError(f"the board could not be read within {START_TIMEOUT:g} seconds: {why}")
        log.warning("board is still loading, not serving yet: %s", why)

    # -- the ports --------------------------------------------------------------------------------

    def _listen_for_probes(self) -> None:
        """Open the port of the metrics first: a start that waits for an index is alive, and not ready."""
        self.metrics.processes.set(1)
        inner = Dispatcher(Router(self._probes.inner_routes()), metrics=self.metrics, cors=Cors())
        self.inner_server = server.serve(
            Delegate(inner), idle_timeout=self.config.idle_timeout, send_timeout=self.config.send_timeout
        )
        self.metrics_url = listeners.bind_metrics(self.inner_server, self.config)

    def _not_ready(self) -> list[str]:
        return self.health.reasons() if self._built else ["starting"]

    def _refresh(self) -> None:
        if self._built:
            self.health.refresh()

    async def _listen(self) -> None:
        config = self.config
        cors = Cors(config.allowed_origins)
        proxies = TrustedProxies(config.trusted_proxies, on_ignored=self.metrics.forwarded_ignored.inc)
        self.registry = ConnectionRegistry(
            self.hub,
            self.authenticator,
            cors,
            self.metrics,
            proxies=proxies,
            max_connections=config.max_connections,
            max_per_address=config.max_connections_per_address,
        )
        recorder = SubmissionRecorder(self.metrics, AbuseDetector(), self._suspect)
        routes = rest_routes(FRONTENDS, self.scoreboard, self.authenticator, config.rate_limit, recorder)
        routes += ModerationEndpoints(Moderation(self.moderation), self.authenticator).routes()
        routes += HistoryEndpoints(self.ledger, self.authenticator).routes()
        routes += [
            *pages.static_routes(demo=self._demo),
            *pages.openapi_routes(),
            *self._probes.health_routes(),
            *self._extra_routes,
        ]
        metric_series.initialise(self.metrics, FRONTENDS, routes)
        self.dispatcher = Dispatcher(
            Router(routes),
            metrics=self.metrics,
            cors=cors,
            proxies=proxies,
            hosts=HostPatterns(config.allowed_hosts) if config.allowed_hosts else None,
            tracing=self.tracing,
        )
        tls = await self._tls()
        shedder = LoadShedder(self.dispatcher, recorder, FRONTENDS, config.rate_limit, lambda: self.store.capacity)
        self.server = server.serve(
            Delegate(self.dispatcher, application(FRONTENDS, self.registry, ping_interval=config.ping_interval)),
            idle_timeout=config.idle_timeout,
            body_timeout=config.body_timeout,
            send_timeout=config.send_timeout,
            ssl_context=tls.context if tls else None,
            interceptor=FastPath(self.dispatcher, shedder),
        )
        self.url = listeners.bind(self.server, config, shared=self._worker is not None)

    async def _tls(self) -> ReloadingTls | None:
        if self.config.tls_cert_file is None or self.config.tls_key_file is None:
            return None
        tls = ReloadingTls(self.config.tls_cert_file, self.config.tls_key_file)

        async def refresh() -> None:
            while True:
                await asyncio.sleep(TLS_REFRESH)
                tls.refresh()

        await self._background("certificate watch", refresh)
        return tls

    # -- ending -----------------------------------------------------------------------------------

    async def _drain(self, deadline: float) -> None:
        """Take no new connections, tell the sockets, and finish what is under way."""
        log.info("draining")
        self.health.draining = True
        self.dispatcher.draining = True
        self.server.stop()
        try:
            async with asyncio.timeout_at(deadline):
                await self.registry.close(0 if self._demo else SOCKET_SPREAD)
                await self.dispatcher.drained()
                await self.store.close()
        except TimeoutError:
            log.warning("drain_timeout expired before all requests were answered")

    async def _close(self) -> None:
        try:
            await self._close_ports()
        finally:
            await super()._close()

    async def _close_ports(self) -> None:
        for listener in (getattr(self, "server", None), getattr(self, "inner_server", None)):
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
    """The one line that says that the service is ready, and where."""
    out.write(f"leaderboard ready at {url} (metrics at {metrics_url})\n")
    out.flush()
