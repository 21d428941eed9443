"""What is known of players who have just played, so that their next update need not be asked back.

A state is what a player's document was after one of its writes: as it was read, or as a write made it of the state
before. An update that its policy admit is made on the condition that the document is still so: its `last` differs after
each write, so whatever came between makes the condition miss, and the update goes the long way, by the policy in the
filter (documents.py). So a state may be old, and nothing is wrong but the time. Nobody is refused by it, and no replay
is answered from it.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Self

from tornado_app.core.model import MAX_SCORE, RateLimitState
from tornado_app.core.policies import WritePolicy
from tornado_app.mongo.players.write_marker import WriteMarker

MAX_CACHED_PLAYERS = 32_768
MAX_BYTES = 36 * 1024 * 1024
"""Players kept in mind, and what they may take; past that the one that was quiet the longest is forgotten."""

PLAYER_BYTES, ENTRY_BYTES = 550, 28
"""A player, and each action that is remembered of it: 1.1 KB with the default of 20."""

MAX_CACHED_HISTORY = 100
"""With a longer history no player is cached: reading it back costs more than the cache saves."""

ID_SIZE = 12

PROFILE = ("username", "avatarUrl", "ownUsername", "ownAvatarUrl")
"""The members that say how a player is shown: of the token, and the player's own choice, which wins."""


def id_hash(action_id: str | None, write_id: str) -> bytes:
    """12 bytes for the action's id; without one the write_id stands in, which no other action has."""
    return blake2b((action_id or f"\0{write_id}").encode(), digest_size=ID_SIZE).digest()


def rate_limit_state(times: Sequence[int], now: int, policy: WritePolicy) -> RateLimitState:
    """Updates left, and when the next one is free: once the entry that fills the limit has left the window.

    Told from the places of the entries (`times`, in milliseconds, newest first), as the filter of the write does it,
    not from their number: with clocks that differ, or step, one that still counts can stand behind others that do not.
    """
    horizon = now - policy.limit.window_ms
    for place in range(min(len(times), policy.limit.updates), 0, -1):
        if times[place - 1] > horizon:
            reset = times[place - 1] - horizon  # longer than the window where another clock is ahead
            return RateLimitState(policy.limit.updates - place, min(reset, policy.limit.window_ms) / 1000)
    return RateLimitState(policy.limit.updates, 0.0)


class CachedPlayer:
    """A player's document, as far as an update is decided by it.

    `ids`: the hashes of the remembered actions, one after the other; `times` and `points` are theirs. All are newest
    first.
    """

    __slots__ = ("ids", "last", "points", "score", "times")

    def __init__(self, score: int, last: str, ids: bytes, times: array[int], points: array[int]) -> None:
        self.score = score
        self.last = last
        self.ids = ids
        self.times = times
        self.points = points

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self | None:
        """That of a document; None where updates of this player need a closer look.

        Raises what an entry that is none raises: KeyError, TypeError or OverflowError.
        """
        score, last, recent = document.get("score"), document.get("last"), document.get("recent", ())
        if document.get("suspended") or document.get("hidden") or not isinstance(last, str):
            return None
        if not isinstance(score, int) or isinstance(score, bool):
            return None
        ids = b"".join(entry["i"] for entry in recent)
        times, points = (array("q", [entry[name] for entry in recent]) for name in ("t", "p"))
        return cls(int(score), last, ids, times, points)

    def allows(self, points: int, hashed: bytes, now: int, policy: WritePolicy) -> bool:
        """Whether nothing stands against an action: what the filter in documents.py asks, of what is known."""
        if self.score > MAX_SCORE - points or hashed in self.ids:
            return False
        limit = policy.limit
        horizon = now - limit.window_ms
        if len(self.times) >= limit.updates and self.times[limit.updates - 1] > horizon:
            return False
        if policy.max_points is None:
            return True
        spent = sum(p for p, t in zip(self.points, self.times, strict=True) if t > horizon)
        return spent + points <= policy.max_points

    def apply(self, points: int, hashed: bytes, now: int, last: str, policy: WritePolicy) -> CachedPlayer:
        """The state after an action."""
        kept = policy.idempotency_history_size - 1
        return CachedPlayer(
            self.score + points,
            last,
            hashed + self.ids[: ID_SIZE * kept],
            array("q", [now]) + self.times[:kept],
            array("q", [points]) + self.points[:kept],
        )


class PlayerCache:
    """The states of players, by their ids; `own` is what the ops of this process begin with."""

    def __init__(self, policy: WritePolicy, own: str, *, most: int = MAX_CACHED_PLAYERS) -> None:
        fit = MAX_BYTES // (PLAYER_BYTES + ENTRY_BYTES * policy.idempotency_history_size)
        self._most = 0 if policy.idempotency_history_size > MAX_CACHED_HISTORY else min(most, fit)
        self._own = own
        self._players: OrderedDict[str, CachedPlayer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._players)

    def pop(self, player: str) -> CachedPlayer | None:
        """What is known of a player, who is about to play: it is known no more until it is noted again."""
        return self._players.pop(player, None)

    def put(self, player: str, state: CachedPlayer) -> None:
        """The player has just played."""
        self._players[player] = state
        self._players.move_to_end(player)
        if len(self._players) > self._most:
            self._players.popitem(last=False)

    def clear(self) -> None:
        """What is known is of no use any more."""
        self._players.clear()

    def on_event(self, player: str, last: Any, marker: WriteMarker | None, touched: frozenset[str]) -> None:
        """Forget a player whose document another process or program changed.

        `last`, `marker` and `touched` are those of the change stream's event. Forgetting saves an update that would
        miss its condition, and notices a change of `recent` alone, which the condition does not.
        """
        cached = self._players.get(player)
        if cached is None or last == cached.last:
            return
        if marker is not None and marker.write_id.startswith(self._own):
            return  # this process wrote it, and has cached its result or is about to read it
        if touched and touched.issubset(PROFILE):
            return  # a profile alone changes no marker
        del self._players[player]  # also where no watched member was touched: it may have been `recent`
