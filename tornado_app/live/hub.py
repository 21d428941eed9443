"""Who watches the board, and what each of them has yet to see.

A message is encoded once for each channel and handed to every subscriber as the same bytes. The newest state wins: a
subscriber that cannot take a message now gets the newest one later, never an older one and never a queue of them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Protocol

from tornado_app.core.interfaces import Change
from tornado_app.core.model import TopPlayers
from tornado_app.live.frames import text_frame
from tornado_app.live.ticker import Ticker
from tornado_app.observability.tracing import NO_TRACING, Tracing

log = logging.getLogger("leaderboard.hub")

CHUNK_SECONDS = 0.0005
"""How long a broadcast holds the loop before others get their turn; an answer may need ten such turns."""

BATCH = 32
"""Subscribers that are served between two looks at the time: about a quarter of a millisecond's work."""

YIELD_SECONDS = 0.001
"""Seconds for which a broadcast rests after each chunk while others go first: the database may share our core."""

MAX_YIELD_SHARE = 0.3
"""Rest in a broadcast, beside a little at its beginning, as a part of its work: it must not starve either."""

STALL_SECONDS = 10.0
"""How long a client may leave a message lying before it is cut off."""

EVICTIONS = 16
"""Clients cut off before others get their turn: about two milliseconds' work."""


class Channel(Protocol):
    """One frontend's socket: its name, and its messages."""

    @property
    def name(self) -> str:
        """The frontend's name, as in metrics."""

    def message(self, seen: TopPlayers | None, top: TopPlayers) -> bytes | None:
        """What one who saw `seen` (None: nothing) is told of `top`; None where that is nothing."""

    def personal(self, update: PersonalUpdate, version: int) -> bytes | None:
        """What a player is told of a change of the own score; None where the frontend has no such message."""


class PersonalUpdate:
    """A player's own score, with what was added since the last message."""

    __slots__ = ("change", "rank", "score")

    def __init__(self, score: int, rank: int, change: int) -> None:
        self.score = score
        self.rank = rank
        self.change = change


class Connection(Protocol):
    """The wire to one client."""

    def send(self, frame: bytes) -> asyncio.Future[None] | None:
        """Hand over a frame; None when it went out whole, else what ends when it has."""

    def evict(self, reason: str) -> None:
        """Cut the client off, with the reason for metric and log."""


class Subscriber:
    """One client, and what it has seen. `user_id` is set once it has authenticated."""

    __slots__ = ("channel", "connection", "personal_last", "seen", "update", "user_id")

    def __init__(self, channel: Channel, connection: Connection) -> None:
        self.channel = channel
        self.connection = connection
        self.user_id: str | None = None
        self.seen: TopPlayers | None = None
        self.update: PersonalUpdate | None = None
        self.personal_last = False


class Hub:
    """Shows each subscriber the newest top 10, and players their own scores.

    `gap`: seconds between two messages to one client at least. `observe(channel, messages)` counts what was sent,
    `shown(top)` is called when a broadcast has reached everybody who could take it. `should_yield` tells whether
    somebody waits for an answer that a broadcast would hold up.
    """

    def __init__(
        self,
        *,
        gap: float = 0.1,
        stall_seconds: float = STALL_SECONDS,
        chunk_seconds: float = CHUNK_SECONDS,
        max_yield_share: float = MAX_YIELD_SHARE,
        observe: Callable[[str, int], None] = lambda channel, messages: None,
        shown: Callable[[TopPlayers], None] = lambda top: None,
        should_yield: Callable[[], bool] = lambda: False,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self._should_yield = should_yield
        self._ticker = Ticker(gap)
        self._stall_seconds = stall_seconds
        self._chunk_seconds = chunk_seconds
        self._max_yield_share = max_yield_share
        self._observe = observe
        self._shown = shown
        self._tracing = tracing
        self._subscribers: dict[Subscriber, None] = {}  # in the order they came: a fifth less CPU than by hash
        self._players: dict[str, set[Subscriber]] = {}
        self._pending: set[Subscriber] = set()
        self._backpressured: dict[Subscriber, float] = {}
        self._frames: dict[tuple[str, int], bytes | None] = {}
        self._wake = asyncio.Event()
        self._everyone = False
        self._top: TopPlayers | None = None

    def __len__(self) -> int:
        return len(self._subscribers)

    def join(self, subscriber: Subscriber) -> None:
        """From now on the subscriber is shown the board, the present state first."""
        self._subscribers[subscriber] = None
        if self._top is not None:
            self._serve([subscriber])

    def identify(self, subscriber: Subscriber, user_id: str) -> None:
        """The subscriber is this player: it also hears of the own score."""
        self._forget_player(subscriber)
        subscriber.user_id = user_id
        self._players.setdefault(user_id, set()).add(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """The subscriber is gone."""
        self._subscribers.pop(subscriber, None)
        self._pending.discard(subscriber)
        self._backpressured.pop(subscriber, None)
        self._forget_player(subscriber)

    def _forget_player(self, subscriber: Subscriber) -> None:
        if subscriber.user_id is not None:
            others = self._players[subscriber.user_id]
            others.discard(subscriber)
            if not others:
                del self._players[subscriber.user_id]
            subscriber.user_id = None

    # -- what the board tells ---------------------------------------------------------------------

    def publish_top(self, top: TopPlayers) -> None:
        """The top 10 changed."""
        self._top = top
        self._frames.clear()
        self._everyone = True
        self._tracing.shown()
        self._wake.set()

    def publish_change(self, change: Change, rank: int) -> None:
        """One player's score changed."""
        if change.new is None:
            return
        for subscriber in self._players.get(change.user_id, ()):
            before = subscriber.update.change if subscriber.update else 0
            subscriber.update = PersonalUpdate(change.new, rank, before + change.new - (change.old or 0))
            self._pending.add(subscriber)
            self._wake.set()

    # -- sending ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send what is due until cancelled; one pass in each `gap`, one message to a client in each."""
        while True:
            try:
                async with asyncio.timeout(
                    self._stall_seconds / 4
                ):  # wait_for can swallow a cancellation (CPython #86296)
                    await self._wake.wait()
            except TimeoutError:
                await self._evict_stalled()
                continue
            await self._ticker.tick()
            self._wake.clear()
            await self._pass()
            await self._evict_stalled()

    async def _pass(self) -> None:
        everyone, self._everyone = self._everyone, False
        due = list(self._subscribers if everyone else self._pending)
        top = self._top
        with self._tracing.broadcast(len(due)) if everyone else nullcontext():
            await self._serve_all(due)
        if everyone and top is not None:
            self._shown(top)
        if self._pending:
            self._wake.set()

    async def _serve_all(self, due: list[Subscriber]) -> None:
        until = time.monotonic() + self._chunk_seconds
        left = 3 * YIELD_SECONDS
        for start in range(0, len(due), BATCH):
            self._serve(due[start : start + BATCH])
            if time.monotonic() > until:
                pause = YIELD_SECONDS if left >= YIELD_SECONDS and self._should_yield() else 0.0
                left += self._max_yield_share * self._chunk_seconds - pause
                await asyncio.sleep(pause)
                until = time.monotonic() + self._chunk_seconds

    def _serve(self, subscribers: Iterable[Subscriber]) -> None:
        """One message to each that can take one and to whom one is due.

        All are chosen before any is sent: the kernel's work for a message throws ours out of the processor's caches.
        """
        due = [(subscriber, frame) for subscriber in subscribers if (frame := self._due(subscriber)) is not None]
        for subscriber, frame in due:
            try:
                sending = subscriber.connection.send(frame)
            except Exception:  # nor must one connection
                log.exception("a message could not be sent")
                continue
            if sending is not None:
                self._block(subscriber, sending)
        for channel, messages in Counter(subscriber.channel.name for subscriber, _ in due).items():
            self._observe(channel, messages)

    def _due(self, subscriber: Subscriber) -> bytes | None:
        """The frame that is to be sent now, after which the subscriber has seen it."""
        if subscriber in self._backpressured or subscriber not in self._subscribers:
            self._pending.discard(subscriber)  # who has taken the rest of a message will be behind again
            return None
        try:
            frame = self._next_frame(subscriber)
        except Exception:  # one message that cannot be made must not keep all others from theirs
            log.exception("a message could not be made")
            frame = None
        if frame is None or (subscriber.seen is self._top and subscriber.update is None):
            self._pending.discard(subscriber)
        else:
            self._pending.add(subscriber)
        return frame

    def _block(self, subscriber: Subscriber, sending: asyncio.Future[None]) -> None:
        """The client has not taken all of it: nothing more is due to it until it has."""
        self._pending.discard(subscriber)
        self._backpressured[subscriber] = time.monotonic()
        sending.add_done_callback(lambda done: self._sent_whole(subscriber, done))

    def _next_frame(self, subscriber: Subscriber) -> bytes | None:
        """The board's update and the player's own in turn, so that neither waits for ever."""
        if subscriber.update is None:
            return self._board_frame(subscriber)
        personal_first = not subscriber.personal_last
        frame = self._personal_frame(subscriber) if personal_first else None
        frame = frame or self._board_frame(subscriber)
        return frame or self._personal_frame(subscriber)

    def _personal_frame(self, subscriber: Subscriber) -> bytes | None:
        update = subscriber.update
        if update is None or self._top is None or subscriber.seen is None:
            return None
        subscriber.update = None
        subscriber.personal_last = True
        payload = subscriber.channel.personal(update, self._top.version)
        return None if payload is None else text_frame(payload)

    def _board_frame(self, subscriber: Subscriber) -> bytes | None:
        top, seen = self._top, subscriber.seen
        if top is None or seen is top:
            return None
        key = (subscriber.channel.name, 0 if seen is None else seen.version)
        if key not in self._frames:
            payload = subscriber.channel.message(seen, top)
            self._frames[key] = None if payload is None else text_frame(payload)
        subscriber.seen = top
        subscriber.personal_last = False
        return self._frames[key]

    def _sent_whole(self, subscriber: Subscriber, done: asyncio.Future[None]) -> None:
        if not done.cancelled():
            done.exception()  # a closed connection reports itself by on_close
        self._backpressured.pop(subscriber, None)
        if subscriber in self._subscribers and (subscriber.seen is not self._top or subscriber.update is not None):
            self._pending.add(subscriber)
            self._wake.set()

    async def _evict_stalled(self) -> None:
        """Cut off those for whom a message has been waiting for too long."""
        latest = time.monotonic() - self._stall_seconds
        stalled = [subscriber for subscriber, since in self._backpressured.items() if since < latest]
        for number, subscriber in enumerate(stalled, 1):
            if subscriber in self._backpressured:
                subscriber.connection.evict("stalled")
            if number % EVICTIONS == 0:
                await asyncio.sleep(0)
