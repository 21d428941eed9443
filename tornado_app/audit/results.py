"""Compares a player's rows in the results of epochs with the ledger. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tornado_app.audit.checks import Finding, Kind
from tornado_app.core.ledger import Entry, EntryKind
from tornado_app.core.periods import Epoch
from tornado_app.core.slots import EpochKey
from tornado_app.core.versions import seconds_of


class ResultRows:
    """The scores of one player in the epochs of a board whose results are final, from the player's entries in order.

    A row is made at some time between the end of the epoch and `sealed_at`. So it may or may not have the take-backs
    from between, but not those after it. Only sums are compared: a submitted score needs the rule of the board. Nor are
    epochs compared of which a checkpoint may contain entries.
    """

    def __init__(self, player: str, board: str, sealed: Mapping[EpochKey, Epoch]) -> None:
        self._player = player
        self._board = board
        self._sealed = sealed
        self._sums: dict[EpochKey, int] = {}
        self._possible: dict[EpochKey, set[int]] = {}
        self._submitted: set[EpochKey] = set()
        self._actions: dict[str, Entry] = {}
        self._folded_until = 0

    def add(self, entry: Entry) -> None:
        """Add the player's next entry."""
        if not self._sealed:
            return
        at = 1000 * seconds_of(entry.exact_version)
        if entry.checkpoint:
            self._folded_until = at + 1000
        if entry.kind is EntryKind.ACTION:
            for epoch in self._sealed.keys() & set(entry.epochs):
                self._sums[epoch] = self._sums.get(epoch, 0) + entry.points
                self._actions[entry.write_id] = entry
                if entry.submitted is not None:
                    self._submitted.add(epoch)
        for write_id in entry.takes_back:
            taken = self._actions.pop(write_id, None)
            if taken is not None:
                for epoch in self._sealed.keys() & set(taken.epochs):
                    self._take_back(epoch, taken.points, at)

    def _take_back(self, epoch: EpochKey, points: int, at: int) -> None:
        sealed = self._sealed[epoch]
        if sealed.sealed_at is not None and at > sealed.sealed_at:
            return
        if sealed.end is not None and at >= sealed.end:
            self._possible.setdefault(epoch, set()).add(self._sums[epoch])
        self._sums[epoch] -= points

    def findings(self, rows: Mapping[EpochKey, int]) -> Iterator[Finding]:
        """What differs in the player's rows: the score in each result that has one."""
        for epoch, score in rows.items():
            if epoch in self._submitted or self._folded_until > self._sealed[epoch].start:
                continue
            expected = self._sums.get(epoch)
            if score != expected and score not in self._possible.get(epoch, ()):
                period, number = epoch
                has = "no entry" if expected is None else f"a sum of {expected}"
                text = f"the result of {period} {number} has the score {score}, the ledger has {has} of it"
                yield Finding(Kind.RESULT, self._player, text, board=self._board)
