"""A feed in partitions: is the board that is merged from partial top 10s right, and how late is it?

Each process follows the players whose id hashes to its partition, shows its own top 10 at most every interval, and one
merges what it has been shown, at most every interval too. A player is in one partition only, so the best ten of all
are among the partitions' best tens; simulated is what the two pauses and the queues in front of them do to latency,
and each merged board is compared with one that is sorted out of all scores.
"""

from __future__ import annotations

import heapq
import random
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

TOP = 10
EVENT = 0.000062
"""Seconds of one core for an event, f of docs/scaling.md: what a second process adds, less the long way of half."""

Standing = tuple[int, str]


@dataclass(frozen=True)
class Outcome:
    """Milliseconds from an event to the merged board that holds it; boards merged, and how many were wrong."""

    p50: float
    p99: float
    boards: int
    wrong: int


@dataclass(frozen=True)
class Event:
    """A player's score grew. `done` is when the partition has taken it in, `shown` when its partial list held it."""

    player: str
    points: int
    at: float
    done: float = 0.0
    shown: float = 0.0


def merge(partials: Iterable[Sequence[Standing]]) -> list[Standing]:
    """The best ten of the partitions' best tens."""
    return heapq.nsmallest(TOP, (standing for partial in partials for standing in partial), key=_order)


def rank(greater: Iterable[int]) -> int:
    """A score's rank, of how many scores are greater in each partition."""
    return 1 + sum(greater)


def partition_of(player: str, partitions: int) -> int:
    """Any hash that is the same everywhere."""
    return zlib.crc32(player.encode()) % partitions


def simulate(
    *, partitions: int, rate: float, seconds: float, players: int, interval: float = 0.1, seed: int = 1
) -> Outcome:
    """`rate` events a second at random, for all partitions together."""
    chance = random.Random(seed)
    feeds: list[list[Event]] = [[] for _ in range(partitions)]
    now = chance.expovariate(rate)
    while now < seconds:
        player = f"player-{chance.randrange(players)}"
        feeds[partition_of(player, partitions)].append(Event(player, chance.randint(1, 100), now))
        now += chance.expovariate(rate)
    shown = [_shown(_queued(feed), interval) for feed in feeds]
    merged = sorted({event.shown for feed in shown for event in feed})
    boards = dict(zip(merged, _throttled(merged, interval), strict=True))
    late = sorted(boards[event.shown] - event.at for feed in shown for event in feed)
    part = len(late) / 100
    wrong = sum(not _right(shown, moment) for moment in set(boards.values()))
    return Outcome(late[int(50 * part)] * 1000, late[int(99 * part)] * 1000, len(set(boards.values())), wrong)


def _queued(feed: list[Event]) -> list[Event]:
    """One event after the other, each for EVENT seconds."""
    free, found = 0.0, []
    for event in feed:
        free = max(free, event.at) + EVENT
        found.append(Event(event.player, event.points, event.at, free))
    return found


def _shown(feed: list[Event], interval: float) -> list[Event]:
    moments = _throttled([event.done for event in feed], interval)
    return [Event(e.player, e.points, e.at, e.done, moment) for e, moment in zip(feed, moments, strict=True)]


def _throttled(times: Sequence[float], interval: float) -> list[float]:
    """When what happened at each time is shown: at once, but not sooner than `interval` after the last showing."""
    last, found = float("-inf"), []
    for time in times:
        if time > last:
            last = max(time, last + interval)
        found.append(last)
    return found


def _right(feeds: list[list[Event]], moment: float) -> bool:
    """Whether the merge of what was shown by then is the top 10 of all scores that had been shown by then."""
    boards = [_scores(feed, moment) for feed in feeds]
    partials = [heapq.nsmallest(TOP, board, key=_order) for board in boards]
    return merge(partials) == sorted((standing for board in boards for standing in board), key=_order)[:TOP]


def _scores(feed: list[Event], moment: float) -> list[Standing]:
    scores: dict[str, int] = {}
    for event in feed:
        if event.shown > moment:
            break
        scores[event.player] = scores.get(event.player, 0) + event.points
    return [(score, player) for player, score in scores.items()]


def _order(standing: Standing) -> tuple[int, str]:
    return -standing[0], standing[1]


def table() -> str:
    """One process at its limit, and more of them."""
    lines = ["| events/s | partitions | load of each | p50 ms | p99 ms | boards | wrong |"]
    lines.append("|---:|---:|---:|---:|---:|---:|---:|")
    for rate, count in ((14_000, 1), (15_800, 1), (40_000, 4), (100_000, 9)):
        found = simulate(partitions=count, rate=rate, seconds=1, players=20_000)
        load = rate * EVENT / count
        lines.append(
            f"| {rate:,} | {count} | {load:.0%} | {found.p50:.0f} | {found.p99:.0f} | {found.boards} | {found.wrong} |"
        )
    return "\n".join(lines)
