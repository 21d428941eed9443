"""The player cache: the states of recently updated players, so that their next update needs no read.

An action that is accepted from a cached state is written on the condition that the document is still in that state. So
a state may be old: the write then misses and is decided again. No refusal and no replay is derived from it.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

import msgspec

from tornado_app.core.boards import MAIN
from tornado_app.core.decide import PlayerState
from tornado_app.core.history import HistoryEntry, WriteKind
from tornado_app.core.slots import SlotChange, followed

MAX_CACHED_PLAYERS = 32_768
MAX_BYTES = 64 * 1024 * 1024
"""Maximum memory: that of `MAX_CACHED_PLAYERS` players at the default rate limit."""

REPLACED = 0.1
"""The part of new players that replace the oldest one of a full cache; the others are not kept.

Active players come back in turns. If each new one replaced the oldest, a cache of slightly fewer players than are
active would drop each of them shortly before its next update, and every update would need a read.
"""

PLAYER_BYTES, ENTRY_BYTES = 900, 40
"""Memory of a player and of each entry: 1.7 KB with 20 entries."""


class CacheMemory:
    """The memory of the player caches of all boards: the one that was used last stays longest, on whichever board.

    `chance`: random numbers, 0 to 1. A key is a user id; of another board than `main`, its name and the user id.
    """

    __slots__ = ("chance", "max_bytes", "max_players", "players", "used")

    def __init__(
        self,
        *,
        max_players: int = MAX_CACHED_PLAYERS,
        max_bytes: int = MAX_BYTES,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.max_players = max_players
        self.max_bytes = max_bytes
        self.chance = chance
        self.used = 0
        self.players: OrderedDict[str | tuple[str, str], PlayerState] = OrderedDict()

    def shrink(self) -> None:
        """Drop states until the rest has room."""
        while len(self.players) > self.max_players or self.used > self.max_bytes:
            _, dropped = self.players.popitem(last=self.chance() >= REPLACED)
            self.used -= _size(dropped)


class PlayerCache:
    """The states of one board's players by user id. `memory`: that of all boards."""

    def __init__(self, memory: CacheMemory | None = None, board: str = MAIN.name) -> None:
        self._memory = memory or CacheMemory()
        self._players = self._memory.players
        self._board = None if board == MAIN.name else board

    def _key(self, user_id: str) -> str | tuple[str, str]:
        return user_id if self._board is None else (self._board, user_id)

    def __iter__(self) -> Iterator[str]:
        """The players of this board whose state is stored; the cache may not change meanwhile."""
        for key in self._players:
            board, user_id = (None, key) if isinstance(key, str) else key
            if board == self._board:
                yield user_id

    def pop(self, user_id: str) -> PlayerState | None:
        """Remove and return the state of a player."""
        state = self._players.pop(user_id if self._board is None else (self._board, user_id), None)
        if state is not None:
            self._memory.used -= _size(state)
        return state

    def put(self, user_id: str, state: PlayerState) -> None:
        """Store the present state of a player."""
        self.pop(user_id)
        if state.history.entries is not None:
            state = msgspec.structs.replace(state, history=state.history.compact())
        self._players[self._key(user_id)] = state
        self._memory.used += _size(state)
        self._memory.shrink()

    def clear(self) -> None:
        """Drop all states of this board."""
        for user_id in list(self):
            self.pop(user_id)

    def on_event(
        self,
        user_id: str,
        kind: str,
        seq: int | None,
        score: int | None,
        entries: Sequence[HistoryEntry],
        slots: Sequence[SlotChange],
        *,
        profile_only: bool,
        metadata: bool,
    ) -> None:
        """Apply a change event to the state of a player, or drop the state.

        `kind`, `seq`, `score`, `entries` and `slots` are those of the event; `profile_only`: whether it touches nothing
        but the profile; `metadata`: whether it sets or removes metadata. An action of another process is applied. After
        any other write the state is dropped: this saves an update that would miss, and notices a change of only the
        history, which the condition of the update does not.
        """
        key = self._key(user_id)
        state = self._players.get(key)
        if state is None or profile_only:
            return
        if seq is not None and seq <= state.seq and kind in ("insert", "update"):
            return  # the state includes this write
        after = _followed(state, seq, score, entries, slots, metadata=metadata) if kind == "update" else None
        if after is None:
            self.pop(user_id)
        else:
            self._players[key] = after  # in its place: its process updated the player, not this one
            self._memory.used += _size(after) - _size(state)
            self._memory.shrink()


def _followed(
    state: PlayerState,
    seq: int | None,
    score: int | None,
    entries: Sequence[HistoryEntry],
    changes: Sequence[SlotChange],
    *,
    metadata: bool,
) -> PlayerState | None:
    """The state after the write of these actions; None if they are not exactly what follows it.

    `score`: the score after it; None if it stays as it was. `metadata`: whether the player may have metadata now.
    """
    before, slots = state.score, followed(state.slots, changes)
    if slots is None or not state.versioned or seq != state.seq + len(entries):
        return None
    for entry in entries:
        if entry.kind != WriteKind.ACTION or entry.on_board == state.hidden:
            return None
        if entry.submitted is not None and entry.before != state.score:
            return None
        after, reached = (state.score or 0) + entry.points, entry.reached or entry.at
        expired = state.history.expired(entry.at, entry.retention)
        state = state.after(entry, expired, after, reached, metadata=metadata or state.metadata, slots=slots)
    return state if entries and state.score == (before if score is None else score) else None


def _size(state: PlayerState) -> int:
    return PLAYER_BYTES + ENTRY_BYTES * len(state.history.seqs)
