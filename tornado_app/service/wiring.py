"""Builds the components of a service from its settings and a database client, and connects them.

Nothing is started here, no port is opened, and nothing is sent: service.py does that. So tests can build components
without the life cycle.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, get_args

from tornado_app.api import metric_series, pages
from tornado_app.api.authentication import Authenticator
from tornado_app.api.board_routes import BoardRouter
from tornado_app.api.frontends import FRONTENDS
from tornado_app.api.rest.board_list import BoardListEndpoint
from tornado_app.api.rest.history import HistoryEndpoints
from tornado_app.api.rest.load_shedding import LoadShedder
from tornado_app.api.rest.moderation import ModerationEndpoints, TakeBackEndpoint
from tornado_app.api.rest.periods import PeriodEndpoints
from tornado_app.api.rest.routes import rest_routes
from tornado_app.api.rest.submission_log import SubmissionRecorder
from tornado_app.api.websocket import announcements
from tornado_app.api.websocket.connections import ConnectionRegistry
from tornado_app.api.websocket.handler import application
from tornado_app.auth.captcha import Captcha
from tornado_app.auth.remote import Outcome, RemoteKeys
from tornado_app.config import Config
from tornado_app.core.abuse import AbuseDetector, AbuseRule
from tornado_app.core.boards import MAIN, Board, View
from tornado_app.core.ledger import EntryKind
from tornado_app.core.model import TopPlayers
from tornado_app.core.moderation import Moderation
from tornado_app.core.origins import HostPatterns
from tornado_app.core.plan import Announcement
from tornado_app.core.scoreboard import Scoreboard
from tornado_app.core.validation import ProofVerifier, SubmissionValidator
from tornado_app.http.client_address import FailureLimiter, TrustedProxies
from tornado_app.http.cors import Cors
from tornado_app.http.dispatcher import Dispatcher
from tornado_app.http.fast_path import FastPath
from tornado_app.http.messages import Route
from tornado_app.http.tornado_delegate import Delegate
from tornado_app.live.hub import Hub
from tornado_app.live.views import LiveView, LiveViews, Progress
from tornado_app.mongo.change_stream.feed import Feed
from tornado_app.mongo.change_stream.rank_check import RankCheck
from tornado_app.mongo.change_stream.source import EventSource
from tornado_app.mongo.client.cluster_time import wall_clock
from tornado_app.mongo.client.driver import Client
from tornado_app.mongo.database import prepare_board
from tornado_app.mongo.ledger.reader import Ledger
from tornado_app.mongo.ledger.writer import LedgerWriter
from tornado_app.mongo.periods.erasure import ResultEraser
from tornado_app.mongo.periods.player_export import player_export
from tornado_app.mongo.players.cache import CacheMemory, PlayerCache
from tornado_app.mongo.players.group_commit import PendingLimit
from tornado_app.mongo.players.moderation import MongoModeration
from tornado_app.mongo.players.store import MongoStore, PeriodStore
from tornado_app.mongo.players.suspects import Suspects
from tornado_app.mongo.storage import StorageMonitor
from tornado_app.observability.metrics import RESTARTS, Metrics, known_label
from tornado_app.observability.tracing import NO_TRACING, Tracing
from tornado_app.service import keys
from tornado_app.service.abuse_reports import AbuseReporter
from tornado_app.service.boards import Boards, ServedBoard, ServedPeriod
from tornado_app.service.health import Health, Propagation
from tornado_app.service.periods import Periods


class Components(NamedTuple):
    """The components of one process, connected and not started. `remote_keys`, `captcha`: None without their settings.

    `delegate` serves the requests of the public port, `fast_path` the simple ones among them.
    """

    boards: Boards
    periods: Periods
    views: LiveViews
    hub: Hub
    feed: Feed
    rank_check: RankCheck
    ledger_writer: LedgerWriter
    storage: StorageMonitor
    moderation: MongoModeration
    health: Health
    remote_keys: RemoteKeys | None
    captcha: Captcha | None
    dispatcher: Dispatcher
    registry: ConnectionRegistry
    delegate: Delegate
    fast_path: FastPath


def build(
    config: Config,
    client: Client,
    *,
    metrics: Metrics,
    tracing: Tracing = NO_TRACING,
    demo: bool = False,
    extra_routes: Iterable[Route] = (),
    events: EventSource | None = None,
) -> Components:
    """The components for these settings; `client` has not been used yet. `demo`: whether the page offers to play.

    `extra_routes` are served too. `events`: those of the players; by default, a change stream of its own. Needs a
    running event loop. Raises StartupError for keys that cannot be used.
    """
    database = config.mongodb_database
    token_keys = keys.token_keys(config, lambda result: metrics.jwks_refreshes.labels(result).inc())
    if token_keys.remote is not None:
        _measure_keys(token_keys.remote, metrics)
    limit = config.auth_failure_limit
    authenticator = Authenticator(
        keys.refreshing_verifier(config, token_keys), FailureLimiter(limit.updates, limit.window)
    )
    ledger = Ledger(client[database])
    results = ResultEraser(client, database)
    moderation = MongoModeration(
        client,
        database,
        ledger,
        clock=lambda: _clock(boards[MAIN.name].definition, periods)(),
        erase_results=results.erase,
        export_results=partial(player_export, client[database]),
    )
    reporter = AbuseReporter(
        Suspects(client[database]), moderation, suspend=config.auto_suspend, timeout=config.mongodb_timeout
    )
    hub = _hub(
        config,
        metrics,
        tracing,
        busy=lambda: any(served.store.busy for served in boards),
        encode=lambda view, announced: announcements.encode(view, announced, periods.now()),
    )
    periods = Periods(
        client,
        database,
        lambda: boards.definitions,
        lambda: boards.period_views,
        metrics,
        announce=lambda view, announced: hub.topic(view).announce(announced),
        timeout=config.mongodb_timeout,
    )
    make = _BoardFactory(
        config,
        client,
        metrics,
        tracing,
        hub,
        Progress(),
        authenticator,
        _captcha(config),
        keys.proof_verifier(config, token_keys),
        ledger,
        AbuseDetector(),
        lambda player, rule: reporter.report(dispatcher.spawn, player, rule),
        CacheMemory(),
        PendingLimit(config.max_pending_writes),
        periods,
    )
    first = [make(definition) for definition in config.boards]
    views = LiveViews((live for served in first for live in served.lives), make.progress)
    feed = Feed(
        client,
        database,
        views,
        boards={served.definition: served.store.cache for served in first},
        source=events,
        epoch=periods.number,
        on_restart=lambda reason: metrics.feed_restarts.labels(known_label(reason, RESTARTS)).inc(),
        on_epoch_score=periods.on_epoch_score,
    )
    cors = Cors(config.allowed_origins)
    proxies = TrustedProxies(config.trusted_proxies, on_ignored=metrics.forwarded_ignored.inc)
    registry = ConnectionRegistry(
        hub,
        authenticator,
        cors,
        metrics,
        proxies=proxies,
        max_connections=config.max_connections,
        max_per_address=config.max_connections_per_address,
    )
    routes = [
        *BoardListEndpoint(lambda: [(served.definition, served.live.total) for served in boards]).routes(),
        *ModerationEndpoints(Moderation(moderation), authenticator).routes(),
        *pages.static_routes(demo=demo),
        *pages.openapi_routes(),
        *extra_routes,
    ]
    metric_series.initialise(metrics, FRONTENDS, [*first[0].routes, *routes])
    router = BoardRouter(routes)
    metrics.pending_writes.set_function(lambda: make.pending.waiting)
    dispatcher = Dispatcher(
        router,
        metrics=metrics,
        cors=cors,
        proxies=proxies,
        hosts=HostPatterns(config.allowed_hosts) if config.allowed_hosts else None,
        tracing=tracing,
    )
    shedder = LoadShedder(dispatcher, make.recorder(MAIN), FRONTENDS, config.rate_limit)
    boards = Boards(
        first,
        make=make,
        planned=periods.wait_planned,
        prepare=lambda board: prepare_board(client, database, board),
        views=views,
        hub=hub,
        feed=feed,
        router=router,
        registry=registry,
        shedder=shedder,
    )
    return Components(
        boards=boards,
        periods=periods,
        views=views,
        hub=hub,
        feed=feed,
        rank_check=RankCheck(
            client,
            database,
            lambda: [(served.definition, live) for served in boards for live in served.lives if live in views],
            feed,
            observe=lambda result: metrics.rank_checks.labels(result).inc(),
        ),
        ledger_writer=_ledger_writer(config, client, metrics, feed),
        storage=_storage(client, database, metrics),
        moderation=moderation,
        health=Health(boards, feed, metrics),
        remote_keys=token_keys.remote,
        captcha=make.captcha,
        dispatcher=dispatcher,
        registry=registry,
        delegate=Delegate(dispatcher, application(FRONTENDS, registry, ping_interval=config.ping_interval)),
        fast_path=FastPath(dispatcher, shedder),
    )


@dataclass(frozen=True)
class _BoardFactory:
    """Builds what belongs to one board, from what all boards share."""

    config: Config
    client: Client
    metrics: Metrics
    tracing: Tracing
    hub: Hub
    progress: Progress
    authenticator: Authenticator
    captcha: Captcha | None
    proofs: ProofVerifier | None
    ledger: Ledger
    detector: AbuseDetector
    on_abuse: Callable[[str, AbuseRule], None]
    cached: CacheMemory
    pending: PendingLimit
    periods: Periods

    def __call__(self, definition: Board) -> ServedBoard:
        config = self.config
        store = MongoStore(
            self.client,
            config.mongodb_database,
            board=definition,
            policy=config.write_policy,
            timeout=config.mongodb_timeout,
            cache=PlayerCache(self.cached, definition.name),
            pending=self.pending,
            clock=_clock(definition, self.periods),
            observe_batch=self.metrics.batch_size.observe,
            tracing=self.tracing,
            epochs=lambda: self.periods.open_epochs(store.board),
        )
        live = self._live(definition, View(definition.name), store.top)
        validator = SubmissionValidator(
            actions=config.action_points,
            max_increment=config.max_increment,
            auto_register=config.auto_register,
            policy=config.proof_policy,
            proofs=self.proofs,
            board=definition,
        )
        scoreboard = Scoreboard(store, live, validator, self.captcha)
        recorder = self.recorder(definition)
        moderation = MongoModeration(
            self.client,
            config.mongodb_database,
            self.ledger,
            board=definition,
            clock=_clock(definition, self.periods),
        )
        periods = {period.name: self._period(definition, period.name, store) for period in definition.periods}
        scoreboards = {
            name: Scoreboard(reads, view, validator, self.captcha) for name, (reads, view) in periods.items()
        }

        def routes(scoreboard: Scoreboard, shown: Scoreboard | None = None) -> list[Route]:
            return rest_routes(FRONTENDS, scoreboard, self.authenticator, config.rate_limit, recorder, shown)

        board_routes = [
            *HistoryEndpoints(self.ledger, self.authenticator, definition.name).routes(),
            *TakeBackEndpoint(Moderation(moderation), self.authenticator, definition.name).routes(),
            *PeriodEndpoints(lambda: store.board, self.periods, self.authenticator).routes(),
        ]
        shown = scoreboards.get(definition.shows or "")
        all_time = [*routes(scoreboard), *board_routes]
        return ServedBoard(
            definition,
            store,
            live,
            scoreboard,
            all_time if shown is None else [*routes(scoreboard, shown), *board_routes],
            all_time,
            {name: ServedPeriod(view, routes(scoreboards[name])) for name, (_, view) in periods.items()},
        )

    def _period(self, definition: Board, period: str, store: MongoStore) -> tuple[PeriodStore, LiveView]:
        reads = store.in_period(period, lambda: live.epoch)
        live = self._live(definition, View(definition.name, period), reads.top)
        return reads, live

    def _live(self, definition: Board, view: View, top: Callable[[], Awaitable[TopPlayers]]) -> LiveView:
        return LiveView(
            top,
            self.hub.topic(view),
            self.progress,
            view=view,
            order=definition.order,
            interval=self.config.broadcast_interval,
            tracing=self.tracing,
        )

    def recorder(self, board: Board) -> SubmissionRecorder:
        return SubmissionRecorder(self.metrics, self.detector, self.on_abuse, board.name)


def _clock(board: Board, periods: Periods) -> Callable[[], int]:
    """The clock by which ids on a board grow old: the database's, which is known if the board has periods."""
    return periods.now if board.periods else wall_clock


def _hub(
    config: Config,
    metrics: Metrics,
    tracing: Tracing,
    *,
    busy: Callable[[], bool],
    encode: Callable[[View, Announcement], bytes],
) -> Hub:
    return Hub(
        gap=1 / config.max_messages_per_second,
        encode=encode,
        observe=lambda channel, messages: metrics.socket_messages.labels(channel).inc(messages),
        shown=Propagation(metrics.propagation.observe).shown,
        should_yield=busy,
        tracing=tracing,
    )


def _ledger_writer(config: Config, client: Client, metrics: Metrics, feed: Feed) -> LedgerWriter:
    for kind in EntryKind:
        metrics.ledger_entries.labels(kind)
    writer = LedgerWriter(
        client,
        config.mongodb_database,
        on_appended=lambda kind, count: metrics.ledger_entries.labels(kind).inc(count),
        feed=feed,
        retention=config.ledger_retention,
    )
    metrics.ledger_lag.set_function(lambda: writer.lag)
    metrics.ledger_writer.set_function(lambda: writer.holds)
    return writer


def _storage(client: Client, database: str, metrics: Metrics) -> StorageMonitor:
    return StorageMonitor(
        client,
        database,
        collections=lambda name, size: metrics.collection_bytes.labels(name).set(size),
        disk=lambda state, size: metrics.disk_bytes.labels(state).set(size),
    )


def _measure_keys(remote: RemoteKeys, metrics: Metrics) -> None:
    for result in get_args(Outcome):
        metrics.jwks_refreshes.labels(result)
    metrics.jwks_age.set_function(lambda: math.inf if remote.age is None else remote.age)


def _captcha(config: Config) -> Captcha | None:
    secret = config.read_captcha_secret()
    return None if config.captcha_url is None or secret is None else Captcha(config.captcha_url, secret)
