"""Checks the entries of one player, in order. Pure, in bounded memory.

Differences are errors: a chain that is incomplete, or whose sum is not the score. Irregularities are unlikely for the
player, and prove nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import msgspec

from tornado_app.core.abuse import Thresholds
from tornado_app.core.boards import MAIN
from tornado_app.core.ledger import Entry, EntryKind, PlayerBalance, entry_hash
from tornado_app.core.model import rfc3339
from tornado_app.core.policies import RateLimit

MAX_FAULTS = 5
"""Maximum reported faults of one chain; after the first ones, more add no information."""

WINDOWS = 10
"""Consecutive windows at the rate limit that a person does not sustain."""

MAX_TIMES = 2000
"""Maximum times in memory for one player; a larger rate limit is not checked."""


class Kind(StrEnum):
    """Kinds of findings; those of the first group are differences."""

    SCORE = "score"
    NOT_RECORDED = "not_recorded"
    NO_PLAYER = "no_player"
    UNKNOWN_DOCUMENT = "unknown_document"
    MISSING = "missing_entry"
    CHANGED = "changed_entry"
    SUM = "wrong_sum"
    EXTERNAL = "external"
    RECONCILED = "reconciled"
    RESULT = "wrong_result"

    BURST = "burst"
    SUSTAINED = "sustained"
    JUMP = "jump"
    RULE = "rule"
    UNFINISHED = "unfinished_erasure"

    @property
    def difference(self) -> bool:
        """Whether the ledger and the players disagree, or a chain is incomplete."""
        return self not in _IRREGULARITIES


_IRREGULARITIES = frozenset({Kind.BURST, Kind.SUSTAINED, Kind.JUMP, Kind.RULE, Kind.UNFINISHED})

_EXCEPTIONS = {
    EntryKind.EXTERNAL: (Kind.EXTERNAL, "{:+} points that the service did not give: {}"),
    EntryKind.RECONCILED: (Kind.RECONCILED, "{:+} points from a time that the change stream did not show"),
}


class Finding(msgspec.Struct, frozen=True):
    """One finding. `n`: the number of the entry in the player's chain, if it is about one."""

    kind: Kind
    player: str
    text: str
    n: int | None = None
    board: str = MAIN.name


class Chain:
    """One player's entries on a board, in order, compared with the account if there is one.

    The account was read before the entries. So its score must be the sum at its last write's entry, or at a later one.
    A checkpoint replaces the entries before it: some of them are left while they are removed, or after a crash.
    `since`: milliseconds; older exceptions are not reported. `recorded`: whether the last write was found. `folded`:
    the number of entries in the checkpoint.
    """

    def __init__(
        self, player: str, account: PlayerBalance | None = None, *, board: str = MAIN.name, since: int = 0
    ) -> None:
        self.player = player
        self.board = board
        self.account = account
        self.recorded = False
        self.length = 0
        self.folded = 0
        self.sum = 0
        self._faults: list[Finding] = []
        self._exceptions: list[Finding] = []
        self._agrees = False
        self._since = since
        self._n = 0
        self._score = 0
        self._hash = b""

    def add(self, entry: Entry | None, n: Any = None) -> None:
        """Add the next entry in order of the numbers; None for a document that is not an entry, with its number."""
        self.length += 1
        if entry is None:
            self._fault(Kind.CHANGED, "the document is not a ledger entry", n if isinstance(n, int) else None)
            return
        if entry.checkpoint:
            self._start_at(entry)
        self._linked(entry)
        self.sum += entry.points
        if entry.score != self._score + entry.points:
            self._fault(Kind.SUM, f"{self._score} {entry.points:+} is not {entry.score}", entry.n)
        self._n, self._score, self._hash = entry.n, entry.score, entry.hash
        if entry.kind in _EXCEPTIONS and entry.at >= self._since and len(self._exceptions) < MAX_FAULTS:
            kind, text = _EXCEPTIONS[entry.kind]
            self._exceptions.append(self._finding(kind, text.format(entry.points, entry.reason), entry.n))
        if self.account is not None:
            self.recorded = self.recorded or self._is_last_write(entry, self.account.write_id)
            self._agrees = self._agrees or (self.recorded and self.sum == self.account.score)

    def findings(self) -> list[Finding]:
        """The faults, once all entries were added."""
        return [*self._faults, *self._against_account(), *self._exceptions]

    def own_findings(self) -> list[Finding]:
        """The faults of the entries themselves, whatever the account."""
        return [*self._faults, *self._exceptions]

    @property
    def right(self) -> bool:
        """Whether there is no fault but recorded exceptions."""
        return not self._faults and not self._against_account()

    @staticmethod
    def _is_last_write(entry: Entry, write_id: str | None) -> bool:
        """A player who was inserted before the ledger began has no write id: the opening entry replaces it."""
        return entry.write_id == write_id if write_id is not None else entry.kind is EntryKind.OPENING

    def _start_at(self, checkpoint: Entry) -> None:
        """Continue at a checkpoint, whose hash proves the sum, the number and the last hash of what it replaces."""
        if checkpoint.n == self._n + 1 and checkpoint.checkpoint != self._hash:
            self._fault(Kind.CHANGED, "its checkpoint is not the hash of the entry before it", checkpoint.n)
        self._faults = [fault for fault in self._faults if fault.kind is not Kind.MISSING]
        self.folded = checkpoint.n - 1
        self.sum = self._score = checkpoint.score - checkpoint.points
        self._n, self._hash = checkpoint.n - 1, checkpoint.checkpoint

    def _linked(self, entry: Entry) -> None:
        if entry.n != self._n + 1:
            first = self._n + 1
            gap = (
                f"entry {first} is missing" if entry.n == first + 1 else f"entries {first} to {entry.n - 1} are missing"
            )
            self._fault(Kind.MISSING, gap if entry.n > first else "there are two of this number", entry.n)
            self._score = entry.score - entry.points  # the gap is reported once
        elif entry_hash(entry, self._hash) != entry.hash:
            self._fault(Kind.CHANGED, "its hash does not match its content and the entry before it", entry.n)

    def _against_account(self) -> list[Finding]:
        account = self.account
        if account is None:
            text = f"the player does not exist, and the sum of the ledger is {self.sum}"
            return [self._finding(Kind.NO_PLAYER, text)] if self.sum else []
        if account.erased:
            text = "the erasure is not finished: a running service finishes it within 15 s"
            return [self._finding(Kind.UNFINISHED, text)]
        if account.score is None or (account.write_id is None and not self.recorded):
            text = "the document has no score" if account.score is None else "the last write has no id of the service"
            return [self._finding(Kind.UNKNOWN_DOCUMENT, text)]
        if not self.recorded:
            return [self._finding(Kind.NOT_RECORDED, "the last write is not in the ledger")]
        if self._agrees:
            return []
        return [self._finding(Kind.SCORE, f"the score is {account.score}, the sum of the ledger is {self.sum}")]

    def _fault(self, kind: Kind, text: str, n: int | None) -> None:
        if len(self._faults) < MAX_FAULTS:
            self._faults.append(self._finding(kind, text, n))

    def _finding(self, kind: Kind, text: str, n: int | None = None) -> Finding:
        return Finding(kind, self.player, text, n, self.board)


class Anomalies:
    """One player's actions on a board, in order. `limit` is the rate limit that was in force; `since`: milliseconds."""

    def __init__(
        self,
        player: str,
        limit: RateLimit,
        *,
        board: str = MAIN.name,
        since: int = 0,
        thresholds: Thresholds | None = None,
    ) -> None:
        self._player = player
        self._board = board
        self._limit = limit
        self._since = since
        self._thresholds = thresholds or Thresholds()
        self._times: deque[int] = deque(maxlen=min(WINDOWS * limit.updates, MAX_TIMES) + 1)
        self._found: dict[Kind, tuple[Finding, int]] = {}
        self._updates = 0
        self._mean = 0.0

    def add(self, entry: Entry) -> None:
        """Add the player's next entry."""
        if entry.kind is not EntryKind.ACTION:
            return
        self._jump(entry)
        self._times.append(entry.at)
        self._pace(entry, Kind.BURST, self._limit.updates + 1, self._limit.window)
        self._pace(entry, Kind.SUSTAINED, WINDOWS * self._limit.updates, WINDOWS * self._limit.window)

    def findings(self) -> Iterator[Finding]:
        """The first finding of each kind, with the number of further ones."""
        for finding, more in self._found.values():
            text = f"{finding.text}, and {more} more" if more else finding.text
            yield Finding(finding.kind, finding.player, text, finding.n, finding.board)

    def _jump(self, entry: Entry) -> None:
        limits = self._thresholds
        if entry.submitted is not None:  # what a submitted score adds says little
            return
        if self._updates >= limits.history and entry.points > limits.jump * self._mean:
            times = entry.points / max(self._mean, 1.0)
            self._record(entry, Kind.JUMP, f"{entry.points} points, {times:.0f} times the mean of earlier updates")
        self._updates += 1
        weight = 1 / min(self._updates, 5 * limits.history)  # a mean over the last hundred or so
        self._mean += (entry.points - self._mean) * weight

    def _pace(self, entry: Entry, kind: Kind, updates: int, seconds: float) -> None:
        if len(self._times) < updates:
            return
        took = entry.at - self._times[-updates]
        if 0 <= took < seconds * 1000:
            self._record(entry, kind, f"{updates} updates within {took / 1000:.0f} s, until {rfc3339(entry.at)}")

    def _record(self, entry: Entry, kind: Kind, text: str) -> None:
        if entry.at < self._since:
            return
        first, more = self._found.get(kind, (None, -1))
        self._found[kind] = (first or Finding(kind, self._player, text, entry.n, self._board), more + 1)
