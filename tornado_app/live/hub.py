"""The subscribers of each view, and the messages that each of them has not received yet.

A message is encoded once for each view and channel and sent to every subscriber as the same bytes. The newest state
wins: a subscriber that cannot receive a message now gets the newest one later, never an older one and never a queue.
"""

from __future__ import annotations

import asyncio
import logging
import math
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from tornado_app.core.boards import View
from tornado_app.core.interfaces import Change
from tornado_app.core.model import TopPlayers
from tornado_app.core.plan import Announcement
from tornado_app.observability.tracing import NO_TRACING, Tracing
from tornado_app.runtime.tasks import Ticker

log = logging.getLogger("leaderboard.hub")

CHUNK_SECONDS = 0.0005
"""Maximum time for which a broadcast occupies the event loop at once; an answer may need ten turns of the loop."""

BATCH = 32
"""Subscribers that are served between two checks of the time: about a quarter of a millisecond's work."""

YIELD_SECONDS = 0.001
"""Pause of a broadcast after each chunk while a write is in flight: the database may share the core."""

MAX_YIELD_SHARE = 0.3
"""Maximum pauses of a broadcast as a part of its own time, beside a few at its start: neither side may starve."""

STALL_SECONDS = 10.0
"""Time after which a client with an unread message is disconnected."""

FRESH_SECONDS = 0.1
"""Time for which the message of an announcement, which contains the time, is sent without being encoded again."""

EVICTIONS = 16
"""Clients that are disconnected in one turn of the loop: about two milliseconds' work."""

NO_ANNOUNCEMENT = Announcement(0, None, ending=False)
"""What a client that receives epochs has received, before the first announcement."""

_FIN_TEXT = 0x81


class Channel(Protocol):
    """The socket of one frontend: its name and its messages."""

    @property
    def name(self) -> str:
        """The frontend's name, as in metrics."""

    def message(self, seen: TopPlayers | None, top: TopPlayers) -> bytes | None:
        """The message about `top` to a client that has seen `seen` (None: nothing); None if there is none."""

    def personal(self, update: PersonalUpdate, version: int) -> bytes | None:
        """The message to a player about the player's own score; None if the frontend has no such message."""


class PersonalUpdate:
    """A player's own score, with the points added since the last message."""

    __slots__ = ("change", "rank", "score")

    def __init__(self, score: int, rank: int, change: int) -> None:
        self.score = score
        self.rank = rank
        self.change = change


class Connection(Protocol):
    """The connection to one client."""

    def send(self, frame: bytes) -> asyncio.Future[None] | None:
        """Send a frame. None if it was sent completely, otherwise a future that ends when it is."""

    def evict(self, reason: str) -> None:
        """Disconnect the client, with the reason for metric and log."""


class Subscriber:
    """One client of one view, and the state that it has seen. `user_id` is set once it has authenticated.

    `announced`: the last announcement that it has received, `NO_ANNOUNCEMENT` before; None: it receives none.
    """

    __slots__ = ("announced", "channel", "connection", "personal_last", "seen", "topic", "update", "user_id")

    def __init__(self, topic: Topic, channel: Channel, connection: Connection, *, announced: bool = False) -> None:
        self.topic = topic
        self.channel = channel
        self.connection = connection
        self.user_id: str | None = None
        self.announced = NO_ANNOUNCEMENT if announced else None
        self.seen: TopPlayers | None = None
        self.update: PersonalUpdate | None = None
        self.personal_last = False

    @property
    def awaits_announcement(self) -> bool:
        """Whether the announcement of its topic is due: after its first board, and once the board is of that epoch."""
        announcement, top = self.topic.announcement, self.topic.top
        if self.announced is None or self.seen is None or announcement is None or top is None:
            return False
        return top.epoch == announcement.epoch and announcement != self.announced

    @property
    def is_behind(self) -> bool:
        """Whether there is something that it has not received."""
        if self.update is not None or self.seen is not self.topic.top:
            return True
        return self.announced is not None and self.awaits_announcement


class Topic:
    """One view in the hub: its newest top 10, and its subscribers. A listener of the view.

    `players`: the subscribers of each player who has authenticated. `frames`: the messages about `top`, by channel and
    by the version that the client has seen. `announcement`: of the open epoch, in a view of a period;
    `announcement_frame`: its message, and when that was made.
    """

    __slots__ = ("_hub", "announcement", "announcement_frame", "frames", "players", "subscribers", "top", "view")

    def __init__(self, view: View, hub: Hub) -> None:
        self.view = view
        self._hub = hub
        self.subscribers: dict[Subscriber, None] = {}  # in order of arrival: a fifth less CPU than by hash
        self.players: dict[str, set[Subscriber]] = {}
        self.frames: dict[tuple[str, int], bytes | None] = {}
        self.top: TopPlayers | None = None
        self.announcement: Announcement | None = None
        self.announcement_frame: tuple[float, bytes] = (-math.inf, b"")

    def announce(self, announcement: Announcement) -> None:
        """Send this to the subscribers that receive announcements, once the top 10 is of its epoch."""
        if announcement != self.announcement:
            self.announcement = announcement
            self.announcement_frame = (-math.inf, b"")
            self._hub.broadcast_announcement(self)

    def publish_top(self, top: TopPlayers) -> None:
        self.top = top
        self.frames.clear()
        self._hub.broadcast(self, top)

    def publish_change(self, change: Change, rank: int) -> None:
        if change.new is None:
            return
        for subscriber in self.players.get(change.user_id, ()):
            before = subscriber.update.change if subscriber.update else 0
            subscriber.update = PersonalUpdate(change.new, rank, before + change.new - (change.old or 0))
            self._hub.schedule(subscriber)


class Hub:
    """Sends the newest top 10 of each view to its subscribers, and their own scores to players.

    `gap`: minimum seconds between two messages to one client. `encode(view, announcement)` makes the message of an
    announcement, which has the same form in all channels. `observe(channel, messages)` counts sent messages.
    `shown(view, top)` is called when a broadcast has reached every client that can receive. `should_yield`: whether an
    answer waits for the database, so that a broadcast must pause.
    """

    def __init__(
        self,
        *,
        gap: float = 0.1,
        stall_seconds: float = STALL_SECONDS,
        chunk_seconds: float = CHUNK_SECONDS,
        max_yield_share: float = MAX_YIELD_SHARE,
        encode: Callable[[View, Announcement], bytes] = lambda view, announcement: msgspec.json.encode(announcement),
        observe: Callable[[str, int], None] = lambda channel, messages: None,
        shown: Callable[[View, TopPlayers], None] = lambda view, top: None,
        should_yield: Callable[[], bool] = lambda: False,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self._should_yield = should_yield
        self._ticker = Ticker(gap)
        self._stall_seconds = stall_seconds
        self._chunk_seconds = chunk_seconds
        self._max_yield_share = max_yield_share
        self._encode = encode
        self._observe = observe
        self._shown = shown
        self._tracing = tracing
        self._topics: dict[View, Topic] = {}
        self._changed: dict[Topic, TopPlayers] = {}
        self._announced: set[Topic] = set()
        self._pending: set[Subscriber] = set()
        self._backpressured: dict[Subscriber, float] = {}
        self._wake = asyncio.Event()

    def topic(self, view: View) -> Topic:
        """The topic of a view; created by the first call."""
        topic = self._topics.get(view)
        if topic is None:
            topic = self._topics[view] = Topic(view, self)
        return topic

    def remove(self, view: View) -> None:
        """Forget a view, whose subscribers have left."""
        topic = self._topics.pop(view, None)
        if topic is not None:
            self._changed.pop(topic, None)
            self._announced.discard(topic)

    def join(self, subscriber: Subscriber) -> None:
        """Send the view to this subscriber from now on, beginning with the present state."""
        subscriber.topic.subscribers[subscriber] = None
        if subscriber.topic.top is not None:
            self._serve([subscriber])
        if subscriber in self._pending:
            self._wake.set()

    def identify(self, subscriber: Subscriber, user_id: str) -> None:
        """The subscriber is this player, and also receives messages about the player's own score."""
        self._forget_player(subscriber)
        subscriber.user_id = user_id
        subscriber.topic.players.setdefault(user_id, set()).add(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        subscriber.topic.subscribers.pop(subscriber, None)
        self._pending.discard(subscriber)
        self._backpressured.pop(subscriber, None)
        self._forget_player(subscriber)

    def _forget_player(self, subscriber: Subscriber) -> None:
        if subscriber.user_id is not None:
            players = subscriber.topic.players
            others = players[subscriber.user_id]
            others.discard(subscriber)
            if not others:
                del players[subscriber.user_id]
            subscriber.user_id = None

    # -- called by the topics --------------------------------------------------------------------------

    def broadcast(self, topic: Topic, top: TopPlayers) -> None:
        """Send the new top 10 to all subscribers of a topic."""
        self._changed[topic] = top
        self._tracing.shown(topic.view)
        self._wake.set()

    def broadcast_announcement(self, topic: Topic) -> None:
        """Send the announcement of a topic to its subscribers that receive it."""
        self._announced.add(topic)
        self._wake.set()

    def schedule(self, subscriber: Subscriber) -> None:
        """Send what the subscriber has not received yet."""
        self._pending.add(subscriber)
        self._wake.set()

    # -- sending ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send due messages until cancelled: one pass in each `gap`, and one message to a client in each pass."""
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
        changed, self._changed = self._changed, {}
        announced, self._announced = self._announced, set()
        all_due = changed.keys() | announced
        due = [subscriber for subscriber in self._pending if subscriber.topic not in all_due]
        for topic in all_due:
            due.extend(topic.subscribers)
        with self._tracing.broadcast({topic.view: len(topic.subscribers) for topic in changed}):
            await self._serve_all(due)
        for topic, top in changed.items():
            self._shown(topic.view, top)
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
        """Send the due message to each subscriber that can receive it.

        All are selected before the first is sent, because sending evicts the selection's data from the processor's
        caches.
        """
        due = [(subscriber, frame) for subscriber in subscribers if (frame := self._due(subscriber)) is not None]
        for subscriber, frame in due:
            try:
                sending = subscriber.connection.send(frame)
            except Exception:  # an error of one connection must not affect the others
                log.exception("a message could not be sent")
                continue
            if sending is not None:
                self._block(subscriber, sending)
        for channel, messages in Counter(subscriber.channel.name for subscriber, _ in due).items():
            self._observe(channel, messages)

    def _due(self, subscriber: Subscriber) -> bytes | None:
        """The due frame, if any; the subscriber counts as having seen it."""
        topic = subscriber.topic
        if subscriber in self._backpressured or subscriber not in topic.subscribers:
            self._pending.discard(subscriber)  # it becomes pending again when the rest of its message is sent
            return None
        try:
            frame = self._next_frame(subscriber)
        except Exception:  # an error of one message must not affect the others
            log.exception("a message could not be made")
            frame = None
        if frame is None or (subscriber.seen is topic.top and not subscriber.is_behind):
            self._pending.discard(subscriber)
        else:
            self._pending.add(subscriber)
        return frame

    def _block(self, subscriber: Subscriber, sending: asyncio.Future[None]) -> None:
        """The client has not received all of the message: nothing more is sent to it until it has."""
        self._pending.discard(subscriber)
        self._backpressured[subscriber] = time.monotonic()
        sending.add_done_callback(lambda done: self._sent_whole(subscriber, done))

    def _next_frame(self, subscriber: Subscriber) -> bytes | None:
        """The board's update and the player's own update alternate, so that neither waits for ever.

        An announcement goes first, so that it comes before the board of an epoch that begins.
        """
        if subscriber.announced is not None and subscriber.awaits_announcement:
            return self._announcement_frame(subscriber)
        if subscriber.update is None:
            return self._board_frame(subscriber)
        personal_first = not subscriber.personal_last
        frame = self._personal_frame(subscriber) if personal_first else None
        frame = frame or self._board_frame(subscriber)
        return frame or self._personal_frame(subscriber)

    def _announcement_frame(self, subscriber: Subscriber) -> bytes | None:
        topic = subscriber.topic
        subscriber.announced = announcement = topic.announcement
        if announcement is None:
            return None
        made_at, frame = topic.announcement_frame
        now = time.monotonic()
        if now - made_at > FRESH_SECONDS:
            frame = text_frame(self._encode(topic.view, announcement))
            topic.announcement_frame = (now, frame)
        return frame

    def _personal_frame(self, subscriber: Subscriber) -> bytes | None:
        update = subscriber.update
        top = subscriber.topic.top
        if update is None or top is None or subscriber.seen is None:
            return None
        subscriber.update = None
        subscriber.personal_last = True
        payload = subscriber.channel.personal(update, top.version)
        return None if payload is None else text_frame(payload)

    def _board_frame(self, subscriber: Subscriber) -> bytes | None:
        topic, seen = subscriber.topic, subscriber.seen
        top, frames = topic.top, topic.frames
        if top is None or seen is top:
            return None
        key = (subscriber.channel.name, 0 if seen is None else seen.version)
        if key not in frames:
            payload = subscriber.channel.message(seen, top)
            frames[key] = None if payload is None else text_frame(payload)
        subscriber.seen = top
        subscriber.personal_last = False
        return frames[key]

    def _sent_whole(self, subscriber: Subscriber, done: asyncio.Future[None]) -> None:
        if not done.cancelled():
            done.exception()  # a closed connection is reported by on_close
        self._backpressured.pop(subscriber, None)
        if subscriber in subscriber.topic.subscribers and subscriber.is_behind:
            self.schedule(subscriber)

    async def _evict_stalled(self) -> None:
        """Disconnect the clients that have not read a message for too long."""
        latest = time.monotonic() - self._stall_seconds
        stalled = [subscriber for subscriber, since in self._backpressured.items() if since < latest]
        for number, subscriber in enumerate(stalled, 1):
            if subscriber in self._backpressured:
                subscriber.connection.evict("stalled")
            if number % EVICTIONS == 0:
                await asyncio.sleep(0)


def text_frame(payload: bytes) -> bytes:
    """One unmasked, final text frame, built once and sent to many. Source: RFC 6455, section 5.2."""
    size = len(payload)
    if size < 126:
        return bytes((_FIN_TEXT, size)) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", _FIN_TEXT, 126, size) + payload
    return struct.pack("!BBQ", _FIN_TEXT, 127, size) + payload
