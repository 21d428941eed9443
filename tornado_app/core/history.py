"""The history of a player: one entry for each write of the service, as far back as limits and idempotency need it.

An entry is one JSON array, which is stored as one scalar: a change event always carries it whole.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec

from tornado_app.core.model import RateLimitState
from tornado_app.core.policies import MAX_HISTORY_ENTRIES, RateLimit
from tornado_app.core.slots import SlotBefore

INT64 = range(-(2**63), 2**63)
Int64 = Annotated[int, msgspec.Meta(ge=INT64[0], le=INT64[-1])]

MAX_RETENTION = 2**31 - 1
"""Seconds."""

MAX_EXPIRED = 1000
"""Entries that one write removes at most; the next one removes more."""


class WriteKind:
    """Kinds of a write, as they are stored: plain texts, as reading an enumeration costs too much here."""

    ACTION: Final = "a"
    REGISTER: Final = "r"
    PROFILE: Final = "p"
    TAKE_BACK: Final = "t"
    SUSPEND: Final = "s"
    REINSTATE: Final = "i"
    HIDE: Final = "h"
    SHOW: Final = "u"
    ERASE: Final = "e"


Kind: TypeAlias = Literal["a", "r", "p", "t", "s", "i", "h", "u", "e"]


class HistoryEntry(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, gc=False):
    """One write of one player.

    `points`: what it added to the score; for hide, show and erase the score itself. `write_id`: unique. `at`:
    milliseconds since the epoch, by the clock of the process. `retention`: the history retention in seconds that was
    in force. `by`: the user id that caused it. `id`, `fingerprint`, `type`, `frontend`: those of an action; the
    fingerprint only with an id. `on_board`: whether the board shows the player; for hide, show and erase, whether it
    does so before or after the write. `reason`: of a moderation; of a profile change, the members that changed.
    `takes_back`: the write ids of the actions that a take-back takes back.

    Of an action on a board of the rule best or last: `submitted`: the score that was submitted; `before`: the score
    before it, None if there was none; `reached`: when the score after it was reached, if that was earlier, else 0.

    `slots`: the epoch in each period of the board, and the score there before the write; for hide, show and erase the
    score itself.
    """

    kind: Kind
    points: Int64
    write_id: Annotated[str, msgspec.Meta(min_length=1)]
    at: Int64 = 0
    retention: Annotated[int, msgspec.Meta(ge=0, le=MAX_RETENTION)] = 0
    by: str = ""
    id: str | None = None
    fingerprint: bytes = b""
    type: str | None = None
    frontend: str = ""
    on_board: bool = True
    reason: str = ""
    takes_back: list[str] = []
    submitted: Int64 | None = None
    before: Int64 | None = None
    reached: Int64 = 0
    slots: list[SlotBefore] = []

    @property
    def added(self) -> int:
        """The points that the write added to the score."""
        return self.points if self.kind in _ADDING else 0


_ADDING: Final = frozenset((WriteKind.ACTION, WriteKind.REGISTER, WriteKind.TAKE_BACK))

_decode = msgspec.json.Decoder(HistoryEntry).decode
_encode = msgspec.json.Encoder().encode

_NO_SLOTS = b",[]]"
"""The end of an entry on a board without periods."""

_NO_SUBMISSION = b",null,null,0"
"""What is before that in an entry without `submitted`, `before` and `reached`."""

_NO_MODERATION = b',true,"",[]'
"""What is before that in an action of a player on the board."""


def encode(entry: HistoryEntry) -> str:
    """The text that is stored."""
    text = _encode(entry)  # msgspec omits no defaults of an array
    if not entry.slots:
        text = text.removesuffix(_NO_SLOTS)
        if entry.submitted is None:
            text = text.removesuffix(_NO_SUBMISSION).removesuffix(_NO_MODERATION)
        text += b"]"
    return text.decode()


def decode(text: Any) -> HistoryEntry | None:
    """The entry of a stored value; None for a value that the service did not write."""
    try:
        return _decode(text)
    except (msgspec.DecodeError, TypeError, RecursionError):
        return None


_REMEMBERED: Final = frozenset("arp")
"""Kinds of the entries that later decisions need: actions, and changes of the profile."""

_OTHER: Final = "x"
"""Stands for an entry that no later decision needs: the next write removes it."""


class History:
    """The entries of a player, newest first, in the compact form that the player cache keeps.

    `seqs`: their sequence numbers; `kinds`: one character for each; `ids`: hash of the action's id, 0 without one;
    `points`: 0 where they do not count towards the points cap; `times` in milliseconds, `retentions` in seconds.
    `entries`: the entries themselves, None where only the compact form is known.
    """

    __slots__ = ("entries", "ids", "kinds", "points", "retentions", "seqs", "times")

    def __init__(
        self,
        seqs: array[int],
        kinds: str,
        ids: array[int],
        points: array[int],
        times: array[int],
        retentions: array[int],
        entries: tuple[HistoryEntry, ...] | None,
    ) -> None:
        self.seqs = seqs
        self.kinds = kinds
        self.ids = ids
        self.points = points
        self.times = times
        self.retentions = retentions
        self.entries = entries

    @classmethod
    def of(cls, seqs: Sequence[int], entries: Sequence[HistoryEntry]) -> History:
        """The history with these entries and their sequence numbers, newest first."""
        kinds = "".join([entry.kind for entry in entries])
        points = [entry.points for entry in entries]
        if kinds.count(WriteKind.ACTION) < len(kinds):
            kinds = _remembered_kinds(entries)
            taken = {write_id for entry in entries for write_id in entry.takes_back}
            for place, entry in enumerate(entries):
                if kinds[place] != WriteKind.ACTION or entry.write_id in taken:
                    points[place] = 0
        return cls(
            array("q", seqs),
            kinds,
            array("q", [0 if entry.id is None else hash(entry.id) for entry in entries]),
            array("q", points),
            array("q", [entry.at for entry in entries]),
            array("q", [entry.retention for entry in entries]),
            tuple(entries),
        )

    def compact(self) -> History:
        """The same without the entries themselves."""
        return History(self.seqs, self.kinds, self.ids, self.points, self.times, self.retentions, None)

    def expired(self, now: int, retention: int) -> tuple[int, ...]:
        """Sequence numbers of the entries that a write at `now` removes.

        An entry stays for the longest `retention` (seconds) in force: the present one, and those of all entries.
        Entries leave in their order, so that a clock that steps does not leave gaps in what the rate limit counts.
        """
        kept = len(self.seqs)
        if not kept:
            return ()
        horizon = now - 1000 * max(retention, max(self.retentions))
        kept = min(kept, MAX_HISTORY_ENTRIES - 1)
        while kept and self.times[kept - 1] < horizon:
            kept -= 1
        if kept == len(self.seqs) and _OTHER not in self.kinds:
            return ()
        expired = self.seqs[max(kept, len(self.seqs) - MAX_EXPIRED) :].tolist()
        if _OTHER in self.kinds:
            expired += [self.seqs[place] for place in range(kept) if self.kinds[place] == _OTHER]
        return tuple(expired[:MAX_EXPIRED])

    def add(self, seq: int, entry: HistoryEntry, expired: Sequence[int]) -> History:
        """The history after an action, whose write removes the entries `expired`."""
        before = self._without(expired) if expired else self
        entries = before.entries
        return History(
            array("q", (seq,)) + before.seqs,
            WriteKind.ACTION + before.kinds,
            array("q", (0 if entry.id is None else hash(entry.id),)) + before.ids,
            array("q", (entry.points,)) + before.points,
            array("q", (entry.at,)) + before.times,
            array("q", (entry.retention,)) + before.retentions,
            None if entries is None else (entry, *entries),
        )

    def _without(self, expired: Sequence[int]) -> History:
        kept = len(self.seqs) - len(expired)
        if self.seqs[kept:].tolist() == list(expired):
            return History(
                self.seqs[:kept],
                self.kinds[:kept],
                self.ids[:kept],
                self.points[:kept],
                self.times[:kept],
                self.retentions[:kept],
                None if self.entries is None else self.entries[:kept],
            )
        gone = frozenset(expired)
        places = [place for place, seq in enumerate(self.seqs) if seq not in gone]
        return History(
            array("q", [self.seqs[place] for place in places]),
            "".join([self.kinds[place] for place in places]),
            array("q", [self.ids[place] for place in places]),
            array("q", [self.points[place] for place in places]),
            array("q", [self.times[place] for place in places]),
            array("q", [self.retentions[place] for place in places]),
            None if self.entries is None else tuple([self.entries[place] for place in places]),
        )

    def entry(self, seq: int) -> HistoryEntry | None:
        """The entry of this number; None if there is none, or only the compact form is known."""
        known = zip(self.seqs, self.entries or (), strict=False)
        return next((entry for number, entry in known if number == seq and entry.write_id), None)

    def may_contain(self, action_id: str) -> bool:
        """Whether an action of this id may be among the entries; where they are known, whether it is."""
        return hash(action_id) in self.ids

    def action_times(self) -> Sequence[int]:
        """When actions were accepted, newest first."""
        if self.kinds.count(WriteKind.ACTION) == len(self.kinds):
            return self.times
        return [at for at, kind in zip(self.times, self.kinds, strict=True) if kind == WriteKind.ACTION]

    def profile_times(self) -> Sequence[int]:
        """When the profile was changed, newest first."""
        return [at for at, kind in zip(self.times, self.kinds, strict=True) if kind in "rp"]

    def points_since(self, horizon: int) -> int:
        """The points of all actions after a time that were not taken back."""
        return sum([points for points, at in zip(self.points, self.times, strict=True) if at > horizon])


EMPTY = History.of((), ())


def _remembered_kinds(entries: Sequence[HistoryEntry]) -> str:
    """The kinds, with `_OTHER` for entries that no later decision needs.

    A take-back is needed as long as an action that it takes back is in the history: its points do not count.
    """
    write_ids = {entry.write_id for entry in entries}
    return "".join(
        [
            entry.kind if entry.kind in _REMEMBERED or not write_ids.isdisjoint(entry.takes_back) else _OTHER
            for entry in entries
        ]
    )


def rate_limit_state(times: Sequence[int], now: int, limit: RateLimit) -> RateLimitState:
    """Updates left, and when the next one is free: once the entry that fills the limit has left the window.

    `times`: milliseconds, newest first. The order of the entries counts, not only their times: with clocks that differ
    or step, an entry that still counts can stand behind others that do not.
    """
    horizon = now - limit.window_ms
    for place in range(min(len(times), limit.updates), 0, -1):
        if times[place - 1] > horizon:
            reset = times[place - 1] - horizon  # longer than the window where another clock is ahead
            return RateLimitState(limit.updates - place, min(reset, limit.window_ms) / 1000)
    return RateLimitState(limit.updates, 0.0)
