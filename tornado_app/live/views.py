"""The views in memory: of each, the rank of every player, and the top 10.

The change feed reports the changes of all views. A view reads its top 10 again only after an event that can have
changed it, and not more often than every `interval`.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from itertools import count
from typing import Any, Protocol

from tornado_app.core.boards import MAIN_VIEW, Order, View
from tornado_app.core.errors import DatabaseError
from tornado_app.core.interfaces import Change, InconsistentChange, ScoreSnapshot
from tornado_app.core.model import TOP, TopPlayers
from tornado_app.core.ranks import Ranks
from tornado_app.observability.tracing import NO_TRACING, Tracing
from tornado_app.runtime.tasks import Ticker, cancel_and_wait

log = logging.getLogger("leaderboard.board")

UNEXPECTED_PAUSE = 5.0
"""Seconds before the next read of the top 10 after an unexpected error; each attempt is logged."""

RETRY_PAUSE = 0.5
"""Seconds before the next read of the top 10 after a database error."""

MAX_RECENT = 8192
"""Maximum players with a known last change, for the rank of a score that the ranks do not contain yet."""

MAX_WAITING_READS = 1000
"""Maximum requests that wait at once in this process; further ones are answered without waiting."""


class ViewListener(Protocol):
    """Receives the changes of one view."""

    def publish_top(self, top: TopPlayers) -> None:
        """The top 10 changed."""

    def publish_change(self, change: Change, rank: int) -> None:
        """One player's score changed; `rank` is that of the new score."""


class Progress:
    """How far the feed has reported the events, which is the same for all views.

    `waiting`: the views with requests that wait for a version. So an event costs the others nothing.
    """

    def __init__(self) -> None:
        self.version = 0
        self.waiting: set[LiveView] = set()

    def advance(self, version: int) -> None:
        """All events up to this version were reported."""
        if version > self.version:
            self.version = version
        if self.waiting:
            for view in list(self.waiting):
                view.wake()


class LiveView:
    """Ranks and top 10 of one view, kept by the calls of `LiveViews` and by `run`.

    `interval`: minimum average seconds between two reads of the top 10. `epoch`: the one that a view of a period shows;
    the view moves on to a later one by `begin`, or by the first event of it.
    """

    def __init__(
        self,
        read_top: Callable[[], Awaitable[TopPlayers]],
        listener: ViewListener,
        progress: Progress,
        *,
        view: View = MAIN_VIEW,
        order: Order = Order.DESCENDING,
        interval: float = 0.1,
        retry_pause: float = RETRY_PAUSE,
        unexpected_pause: float = UNEXPECTED_PAUSE,
        max_recent: int = MAX_RECENT,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self._read_top = read_top
        self._listener = listener
        self._progress = progress
        self.view = view
        self._order = order
        self._ticker = Ticker(interval)
        self._retry_pause = retry_pause
        self._unexpected_pause = unexpected_pause
        self._max_recent = max_recent
        self._tracing = tracing
        self._ranks: Ranks | None = None
        self._current = False
        self._top: TopPlayers | None = None
        self._dirty = asyncio.Event()
        self._shown = asyncio.Event()
        self._wanted = 0
        self._read_at = 0
        self._recent: OrderedDict[str, int | None] = OrderedDict()
        self._snapshot_at = 0
        self._milestones = Milestones()
        self._watched: frozenset[str] = frozenset()
        self.epoch: int | None = None
        self.revision = 0
        self.snapshots = 0
        self._latest: int | None = None
        self.last_updated = 0
        self.version = 0

    @property
    def ready(self) -> bool:
        """Whether ranks and top 10 are known."""
        return self._current and self._top is not None

    async def wait_ready(self) -> None:
        """Wait until `ready` is true for the first time."""
        await self._shown.wait()

    @property
    def top(self) -> TopPlayers:
        """The top 10 of the last read. Raises DatabaseError before the first."""
        if self._top is None:
            raise DatabaseError("The board is loading. Try again in a moment.", retry_after=1.0)
        return self._top

    @property
    def total(self) -> int:
        """Number of players on the board."""
        return len(self._known())

    def rank(self, score: int) -> int:
        """1 + number of players with a better score. Raises DatabaseError while the ranks are being read."""
        return self._known().rank(score)

    def rank_of(self, user_id: str, score: int, superseded_at: int | None = None) -> int:
        """The rank of a player with this score, which the ranks may not contain yet. See `core.scoreboard.BoardView`.

        The player's own entry may be above it: a later score, or an earlier one that was taken back. The player's last
        change determines that entry; an old change is in the ranks once the feed is past its time.
        """
        if user_id in self._recent:
            own = self._recent[user_id]
            above = own is not None and self._order.better(own, score)
        else:
            above = superseded_at is not None and (
                superseded_at <= self._snapshot_at or superseded_at < self.last_updated
            )
        return max(1, self._known().rank(score) - above)

    def next_score(self, user_id: str, score: int) -> int | None:
        """The next better score of another player; None if there is none.

        The player's own entry may be above it, see `rank_of`.
        """
        ranks = self._known()
        found = ranks.next_score(score)
        if found is not None and found == self._recent.get(user_id) and ranks.rank(score) - ranks.rank(found) == 1:
            return ranks.next_score(found)
        return found

    def can_show(self, version: int) -> bool:
        """Whether the ranks and the top 10 include all events up to a version.

        A write that does not change the top 10 gives it no newer version, so the feed's position counts.
        """
        return self._progress.version >= version and (self._read_at >= version or self._wanted <= self._read_at)

    async def wait_until_shown(self, version: int, seconds: float) -> bool:
        """Wait until `can_show`, for at most `seconds`; returns `can_show`."""
        if not self.can_show(version):
            self._progress.waiting.add(self)
            await self._milestones.wait(version, seconds)
        return self.can_show(version)

    def stop(self) -> None:
        """Show the last state from now on: the feed goes on without this view."""
        self._progress.waiting.discard(self)
        reached = self._progress.version
        self._progress = Progress()
        self._progress.advance(reached)

    def wake(self) -> None:
        """Answer the requests that wait for a version which can be shown now."""
        self._milestones.pass_while(self.can_show)
        if not self._milestones:
            self._progress.waiting.discard(self)

    def sample(self) -> list[int]:
        """The scores for a check of the ranks: the one that changed last, and the lowest of the top 10."""
        last = [self._top.standings[-1].player.score] if self._top is not None and self._top.standings else []
        return last if self._latest is None else [self._latest, *last]

    def _known(self) -> Ranks:
        if self._ranks is None:
            raise DatabaseError("The ranks are loading. Try again in a moment.", retry_after=1.0)
        return self._ranks

    # -- events of the feed --------------------------------------------------------------------------

    def on_snapshot(self, snapshot: ScoreSnapshot) -> None:
        """Replace the view by this snapshot."""
        if self._top is not None and snapshot.version < self._top.version:
            self._top = None  # another history, as after a restored backup: its clock counts from now on
            self._wanted = self._read_at = self.version = 0
        self._ranks = Ranks(snapshot.counts, order=self._order)
        self.epoch = snapshot.epoch
        self._current = True
        self.snapshots += 1
        self.last_updated = self._snapshot_at = snapshot.last_updated
        self._recent.clear()
        self.revision += 1
        self.version = max(self.version, snapshot.version)
        self._ask(snapshot.version)
        place = "" if self.view.period is None else f" in the open epoch of {self.view.period}"
        log.info("board %s has %d players%s", self.view.board, len(self._ranks), place)

    def on_history_lost(self) -> None:
        """Keep ranks and top 10 until the next snapshot. The service should not receive traffic meanwhile."""
        self._current = False

    def on_change(self, change: Change) -> None:
        """One player changed. Raises InconsistentChange if no player has the score before the change."""
        ranks = self._known()
        if change.epoch is not None and self.epoch is not None and change.epoch != self.epoch:
            if change.epoch < self.epoch:
                return  # the view shows a later epoch
            self.begin(change.epoch)
            ranks = self._known()
        self.revision += 1
        self.version = max(self.version, change.version)
        if change.old != change.new:
            try:
                ranks.move(change.old, change.new)
            except KeyError as unknown:
                raise InconsistentChange from unknown
            self._remember(change.user_id, change.new)
            self.last_updated = max(self.last_updated, change.at)
            if change.new is not None:
                self._latest = change.new
                self._listener.publish_change(change, ranks.rank(change.new))
        if self._matters(change):
            self._tracing.changed(self.view, change.write_ids)
            self._ask(change.version)

    def begin(self, epoch: int) -> None:
        """Show a later epoch, in which nobody has a score yet."""
        if self._ranks is None or self.epoch is None or epoch <= self.epoch:
            return
        self.epoch = epoch
        self._ranks = Ranks((), order=self._order)
        self._recent.clear()
        self._watched = frozenset()
        self._latest = None
        self.revision += 1
        self.snapshots += 1
        self._ask(0 if self._top is None else self._top.version + 1)

    def _remember(self, user_id: str, score: int | None) -> None:
        self._recent[user_id] = score
        self._recent.move_to_end(user_id)
        if len(self._recent) > self._max_recent:
            self._recent.popitem(last=False)

    def _matters(self, change: Change) -> bool:
        """Whether the change can alter the top 10."""
        top = self._top
        if top is None or top.epoch != self.epoch:
            return True  # a read that is under way may be older than the change
        if len(top.standings) < TOP or change.user_id in self._watched:
            return True
        if change.old is change.new is None and change.at:
            return True  # only the time of the score changed, and so the place among equal scores
        return change.new is not None and not self._order.better(top.standings[-1].player.score, change.new)

    def _ask(self, version: int) -> None:
        self._wanted = max(self._wanted, version)
        self._dirty.set()

    # -- the top 10 -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Read the top 10 when it may have changed, until cancelled."""
        while True:
            await self._dirty.wait()
            await self._ticker.tick()
            self._dirty.clear()
            try:
                with self._tracing.refresh(self.view):
                    await self._refresh()
            except DatabaseError:
                self._ticker.delay(self._retry_pause)
                self._dirty.set()
            except Exception:  # a malformed document must not stop the board
                log.exception("the top 10 of board %s could not be read", self.view.board)
                self._ticker.delay(self._unexpected_pause)
                self._dirty.set()

    async def _refresh(self) -> None:
        top = await self._read_top()
        if top.epoch != self.epoch:
            self._dirty.set()  # another epoch began meanwhile
            return
        if top.version < self._wanted:
            self._dirty.set()  # an older state of the database, as after a change of the primary
        self._read_at = max(self._read_at, top.version)
        self._show(top)
        self.wake()

    def _show(self, top: TopPlayers) -> None:
        shown = self._top
        if shown is not None:
            same = top.standings == shown.standings and top.epoch == shown.epoch
            another = top.epoch != shown.epoch and top.version == shown.version  # nothing could tell them apart
            if same or another or top.version < shown.version:
                return
        self._top = top
        self.version = max(self.version, top.version)
        self._watched = frozenset(standing.player.user_id for standing in top.standings)
        self.revision += 1
        self._shown.set()
        self._listener.publish_top(top)


class LiveViews:
    """The views of this process, which may change while `run` runs. A listener of the feed."""

    def __init__(self, views: Iterable[LiveView], progress: Progress) -> None:
        self._views = {live.view: live for live in views}
        self._progress = progress
        self._lost = True
        self._changed = asyncio.Event()

    def __getitem__(self, view: View) -> LiveView:
        return self._views[view]

    def __contains__(self, live: LiveView) -> bool:
        """Whether the feed reports the changes of this one."""
        return self._views.get(live.view) is live

    def add(self, live: LiveView) -> None:
        """Keep a further view, of which the feed reports a snapshot first."""
        self._views[live.view] = live
        self._changed.set()

    def remove(self, view: View) -> None:
        """Keep a view no longer; the feed reports nothing more about it."""
        self._views.pop(view).stop()
        self._changed.set()

    async def run(self) -> None:
        """Read each top 10 when it may have changed, until cancelled."""
        tasks: dict[LiveView, asyncio.Future[None]] = {}
        try:
            ended: set[asyncio.Future[None]] = set()
            while not ended:
                self._changed.clear()
                current = set(self._views.values())
                tasks |= {live: asyncio.ensure_future(live.run()) for live in current - tasks.keys()}
                await cancel_and_wait(*[tasks.pop(live) for live in tasks.keys() - current])
                ended = await self._wait_for_change(tasks.values())
            for task in ended:
                task.result()
        finally:
            await cancel_and_wait(*tasks.values())

    async def _wait_for_change(self, tasks: Iterable[asyncio.Future[None]]) -> set[asyncio.Future[None]]:
        """The tasks that ended, of which there are none if the views changed."""
        changed = asyncio.ensure_future(self._changed.wait())
        watched: list[asyncio.Future[Any]] = [changed, *tasks]
        try:
            done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_and_wait(changed)
        return done - {changed}

    # -- core.interfaces.FeedListener -----------------------------------------------------------------

    def on_snapshots(self, snapshots: Mapping[View, ScoreSnapshot]) -> None:
        """Replace these views: all, unless the history is known and one is new."""
        for view, snapshot in snapshots.items():
            self._views[view].on_snapshot(snapshot)
        if self._lost:
            self._progress.version = min(snapshot.version for snapshot in snapshots.values())
            self._lost = False

    def on_change(self, view: View, change: Change) -> None:
        """One player changed in a view. Raises InconsistentChange."""
        self._views[view].on_change(change)

    def on_progress(self, version: int) -> None:
        """All events up to this version were reported."""
        self._progress.advance(version)

    def on_history_lost(self) -> None:
        """Keep all views until the next snapshots."""
        self._lost = True
        for live in self._views.values():
            live.on_history_lost()


class Milestones:
    """Requests that wait for a view to show a version, the lowest first: so most events cost one comparison."""

    def __init__(self, most: int = MAX_WAITING_READS) -> None:
        self._most = most
        self._heap: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._heap)

    async def wait(self, version: int, seconds: float) -> None:
        """Wait until the version has passed, for at most `seconds`; return at once if too many requests wait."""
        if len(self._heap) >= self._most:
            self._heap = [waiter for waiter in self._heap if not waiter[2].done()]
            heapq.heapify(self._heap)
            if len(self._heap) >= self._most:
                return
        passed = asyncio.get_running_loop().create_future()
        heapq.heappush(self._heap, (version, next(self._numbers), passed))
        await asyncio.wait([passed], timeout=seconds)
        passed.cancel()  # a request that no longer waits must not occupy a slot

    def pass_while(self, passed: Callable[[int], bool]) -> None:
        """Wake all requests whose version is `passed`, which is true for every lower version too."""
        while self._heap and (self._heap[0][2].done() or passed(self._heap[0][0])):
            _, _, waiter = heapq.heappop(self._heap)
            if not waiter.done():
                waiter.set_result(None)
