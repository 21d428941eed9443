"""The boards that this process serves. They change with `boards_file`, without a restart."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tornado_app.api.board_routes import BoardRouter
from tornado_app.api.rest.load_shedding import LoadShedder
from tornado_app.api.websocket.connections import ConnectionRegistry
from tornado_app.config.boards_file import read_boards
from tornado_app.core.boards import ALL_TIME, MAIN, Board, View
from tornado_app.core.errors import ConfigError, LeaderboardError, StartupError
from tornado_app.core.scoreboard import Scoreboard
from tornado_app.http.messages import Route, Router
from tornado_app.live.hub import Hub
from tornado_app.live.views import LiveView, LiveViews
from tornado_app.mongo.change_stream.feed import Feed
from tornado_app.mongo.players.store import MongoStore
from tornado_app.runtime.file_watcher import FileWatcher

log = logging.getLogger("leaderboard.app")

CHECK_INTERVAL = 2.0
"""Seconds between two checks of the file."""

RETRY_INTERVAL = 30.0
"""Seconds until boards that could not be served are tried again; each attempt is logged."""

SOCKET_SPREAD = 1.5
"""Seconds over which sockets are closed, those of a removed board and in a drain."""


class ServedPeriod(NamedTuple):
    """The view of one period of a board, and the routes of requests that name it."""

    live: LiveView
    routes: Sequence[Route]


class ServedBoard:
    """What belongs to one board in this process. Nothing of it is shared with another board.

    `definition`: only its bounds and the schedules of its periods change. `routes`: of requests that name no period,
    `all_time`: of those that name all time. `periods`: by name.
    """

    def __init__(
        self,
        definition: Board,
        store: MongoStore,
        live: LiveView,
        scoreboard: Scoreboard,
        routes: Sequence[Route],
        all_time: Sequence[Route],
        periods: Mapping[str, ServedPeriod],
    ) -> None:
        self.definition = definition
        self.store = store
        self.live = live
        self.scoreboard = scoreboard
        self.routes = routes
        self.all_time = all_time
        self.periods = periods

    @property
    def lives(self) -> list[LiveView]:
        """Its views: all time, and the periods."""
        return [self.live, *(period.live for period in self.periods.values())]

    @property
    def views(self) -> dict[View, tuple[View, Sequence[Route]]]:
        """By what a request names: the view that its sockets show, and its routes."""
        name, shows = self.definition.name, self.definition.shows
        periods: dict[str | None, tuple[View, Sequence[Route]]] = {
            period: (served.live.view, served.routes) for period, served in self.periods.items()
        }
        shown = self.live.view if shows is None else self.periods[shows].live.view
        named: dict[str | None, tuple[View, Sequence[Route]]] = {
            None: (shown, self.routes),
            ALL_TIME: (self.live.view, self.all_time),
        }
        return {View(name, period): value for period, value in (named | periods).items()}


class Boards:
    """The served boards, which `apply` changes. `boards`: those at the start, `main` among them.

    `make`: builds a board. `prepare`: prepares the database for it. `planned`: waits until its periods have epochs.
    Both raise StartupError.
    """

    def __init__(
        self,
        boards: Iterable[ServedBoard],
        *,
        make: Callable[[Board], ServedBoard],
        planned: Callable[[Board], Awaitable[None]],
        prepare: Callable[[Board], Awaitable[None]],
        views: LiveViews,
        hub: Hub,
        feed: Feed,
        router: BoardRouter,
        registry: ConnectionRegistry,
        shedder: LoadShedder,
    ) -> None:
        self._make = make
        self._prepare = prepare
        self._planned = planned
        self._pending: tuple[Board, ...] = ()
        self._views = views
        self._hub = hub
        self._feed = feed
        self._router = router
        self._registry = registry
        self._shedder = shedder
        self._served: dict[str, ServedBoard] = {}
        for served in boards:
            self._serve(served)

    def __getitem__(self, name: str) -> ServedBoard:
        return self._served[name]

    def __iter__(self) -> Iterator[ServedBoard]:
        """The boards: `main`, then the others by name."""
        return iter(list(self._served.values()))

    @property
    def ready(self) -> bool:
        """Whether ranks and top 10 of all served views are known."""
        return all(live.ready for served in self for live in served.lives)

    @property
    def definitions(self) -> list[Board]:
        """Those of the served boards, and of those that are being added."""
        return [*(served.definition for served in self), *self._pending]

    @property
    def period_views(self) -> list[LiveView]:
        """The views of periods."""
        return [period.live for served in self for period in served.periods.values()]

    async def wait_ready(self) -> None:
        """Wait until each view has been ready."""
        for served in self:
            for live in served.lives:
                await live.wait_ready()

    async def close(self) -> None:
        """Answer all waiting actions, and accept no more."""
        await asyncio.gather(*(served.store.close() for served in self))

    async def apply(self, definitions: Iterable[Board]) -> None:
        """Serve these boards. A board is served once its ranks and its top 10 are known; the others are not disturbed.

        Raises ConfigError or StartupError, and then the served boards are those of before.
        """
        wanted = {definition.name: definition for definition in definitions}
        changed = [served for served in self if _changed(served.definition, wanted.get(served.definition.name))]
        if changed:
            raise ConfigError([_conflict(served.definition) for served in changed])
        added = [definition for name, definition in wanted.items() if name not in self._served]
        rebuilt = [wanted[name] for name, served in self._served.items() if _has_other_views(served, wanted.get(name))]
        for definition in (*added, *rebuilt):
            await self._prepare(definition)
        self._pending = (*added, *rebuilt)  # all are planned at once, and until they are served
        try:
            for definition in self._pending:
                await self._planned(definition)
            for served in self:
                if served.definition.name not in wanted:
                    await self._remove(served)
                else:
                    self._redefine(served, wanted[served.definition.name])
            for definition in added:
                await self._add(definition)
            for definition in rebuilt:
                await self._rebuild(self._served[definition.name], definition)
        finally:
            self._pending = ()

    async def _add(self, definition: Board) -> None:
        served = self._make(definition)
        with contextlib.ExitStack() as undo:
            for live in served.lives:
                self._views.add(live)
                undo.callback(self._views.remove, live.view)
                undo.callback(self._hub.remove, live.view)
            await self._feed.add(definition, served.store.cache)
            undo.callback(self._feed.remove, definition.name)
            for live in served.lives:
                await live.wait_ready()
            undo.pop_all()
        self._serve(served)
        log.info("board %s is served now", definition.name)

    async def _rebuild(self, former: ServedBoard, definition: Board) -> None:
        """Serve a board with other periods. Its views show the last state until the new ones are ready."""
        name = definition.name
        await self._feed.wait_loaded()  # from here to `add` without a pause: the feed never reads without the board
        self._feed.remove(name)
        for live in former.lives:
            self._views.remove(live.view)
        served = self._make(definition)
        for live in served.lives:
            self._views.add(live)
        await self._feed.add(definition, served.store.cache)
        for live in served.lives:
            await live.wait_ready()
        self._serve(served)
        gone = {live.view for live in former.lives} - {live.view for live in served.lives}
        for view in (View(name, period) for period in former.periods.keys() - served.periods.keys()):
            del self._router.views[view], self._registry.topics[view]
        other = former.definition.shows != definition.shows  # those that named no period would stay at the former one
        stale = gone | {former.views[View(name)][0]} if other else gone
        await self._registry.close(SOCKET_SPREAD, stale.__contains__)
        for view in gone:
            self._hub.remove(view)
        await former.store.close()
        names = f"the periods {', '.join(served.periods)}" if served.periods else "no periods"
        log.info("board %s has %s now", name, names)

    def _redefine(self, served: ServedBoard, definition: Board) -> None:
        if definition != served.definition and not _has_other_views(served, definition):
            served.definition = served.store.board = definition
            log.info("board %s has other bounds or schedules now", definition.name)

    def _serve(self, served: ServedBoard) -> None:
        name = served.definition.name
        self._served = dict(
            sorted({**self._served, name: served}.items(), key=lambda item: (item[0] != MAIN.name, item[0]))
        )
        for view, (shown, routes) in served.views.items():
            self._router.views[view] = Router(routes)
            self._registry.topics[view] = self._hub.topic(shown)
        self._shedder.add(name, lambda: served.store.capacity)

    async def _remove(self, served: ServedBoard) -> None:
        name = served.definition.name
        del self._served[name]
        for view in served.views:
            del self._router.views[view], self._registry.topics[view]
        self._shedder.remove(name)
        log.info("board %s is no longer served, its data stays", name)
        await self._registry.close(SOCKET_SPREAD, lambda view: view.board == name)
        await served.store.close()  # the last writes put states into the cache, which `remove` clears
        self._feed.remove(name)
        for live in served.lives:
            self._views.remove(live.view)
            self._hub.remove(live.view)


def _changed(before: Board, after: Board | None) -> bool:
    """Whether scores of the one make no sense on the other."""
    return after is not None and (before.rule, before.order) != (after.rule, after.order)


def _has_other_views(served: ServedBoard, definition: Board | None) -> bool:
    """Whether a definition of a served board has other periods than it, or shows another one."""
    if definition is None:
        return False
    names = [period.name for period in definition.periods]
    return names != list(served.periods) or definition.shows != served.definition.shows


def _conflict(served: Board) -> str:
    return (
        f"board {served.name} has the rule {served.rule} and the order {served.order}, which cannot change while it is "
        "served: set them back, or give the board with others another name"
    )


class BoardsFile:
    """Applies `boards_file` whenever it changes. `observe` is called with 1 if its boards are served, else 0."""

    def __init__(self, path: Path, boards: Boards, observe: Callable[[int], None]) -> None:
        self._path = path
        self._boards = boards
        self._observe = observe

    async def run(self) -> None:
        """Follow the file until cancelled. The first check reads it too: it may have changed during the start."""
        loop, watcher = asyncio.get_running_loop(), FileWatcher(self._path)
        retry_at = loop.time()
        while True:
            if watcher.changed() or loop.time() >= retry_at:
                retry_at = loop.time() + (float("inf") if await self.apply() else RETRY_INTERVAL)
            await asyncio.sleep(CHECK_INTERVAL)

    async def apply(self) -> bool:
        """Read the file, and serve its boards; whether it succeeded. Errors are logged."""
        try:
            await self._boards.apply(read_boards(self._path))
        except (ConfigError, StartupError, LeaderboardError) as error:
            text = "; ".join(str(error).splitlines())
            log.error("boards_file %s is not applied, trying again in %g s: %s", self._path, RETRY_INTERVAL, text)
            self._observe(0)
            return False
        self._observe(1)
        return True
