"""Compares a player's rows in the results of epochs with the ledger. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tornado_app.audit.checks import Finding, Kind
from tornado_app.core.boards import Board, Rule
from tornado_app.core.ledger import Entry, EntryKind
from tornado_app.core.periods import Epoch, FinalResult
from tornado_app.core.slots import EpochKey
from tornado_app.core.versions import seconds_of


class ResultDoubt(NamedTuple):
    """What differs in one result, unless the player was erased meanwhile. `has_row`: whether the player has a row."""

    epoch: EpochKey
    has_row: bool
    finding: Finding


class ResultRows:
    """The scores of one player in the epochs of a board whose results are final, from the player's entries in order.

    A row is made at some time between the end of the epoch and `sealed_at`. So it may or may not have the take-backs
    from between, but not those after it; and a player who was hidden at any time between may have none. Epochs are not
    compared of which a checkpoint may contain entries. `hidden`: whether the player is hidden now.
    """

    def __init__(
        self, player: str, board: Board, sealed: Mapping[EpochKey, FinalResult], *, hidden: bool = False
    ) -> None:
        self.player = player
        self._board = board
        self._sealed = sealed
        self._values: dict[EpochKey, dict[str, int]] = {}
        self._possible: dict[EpochKey, set[int | None]] = {}
        self._hidings: list[tuple[int, bool]] = []
        self._is_hidden = hidden
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
                value = entry.points if entry.submitted is None else entry.submitted
                self._values.setdefault(epoch, {})[entry.write_id] = value
        elif entry.kind in (EntryKind.HIDE, EntryKind.SHOW):
            self._hidings.append((at, entry.kind is EntryKind.HIDE))
        if entry.takes_back:
            for epoch, values in self._values.items():
                if not values.keys().isdisjoint(entry.takes_back):
                    self._take_back(epoch, values, entry, at)

    def _take_back(self, epoch: EpochKey, values: dict[str, int], entry: Entry, at: int) -> None:
        sealed = self._sealed[epoch].epoch
        if sealed.sealed_at is not None and at > sealed.sealed_at:
            return
        if sealed.end is not None and at >= sealed.end:
            self._possible.setdefault(epoch, set()).add(self._score(epoch))
        for write_id in entry.takes_back:
            values.pop(write_id, None)

    def _score(self, epoch: EpochKey) -> int | None:
        """The score by the entries so far; None without one."""
        values = self._values.get(epoch)
        if values is None:
            return None
        score = 0 if self._board.rule is Rule.SUM else None
        for value in values.values():
            score = self._board.score_after(score, value)
        return score

    def doubts(self, rows: Mapping[EpochKey, int]) -> Iterator[ResultDoubt]:
        """What differs; `rows`: the player's score in each result that has one."""
        for epoch in sorted(rows.keys() | self._values.keys()):
            problem = self._problem(epoch, rows.get(epoch))
            if problem is not None and self._folded_until <= self._sealed[epoch].epoch.start:
                period, number = epoch
                finding = Finding(
                    Kind.RESULT, self.player, f"the result of {period} {number} {problem}", board=self._board.name
                )
                yield ResultDoubt(epoch, epoch in rows, finding)

    def _problem(self, epoch: EpochKey, row: int | None) -> str | None:
        final = self._sealed[epoch]
        if self.player in final.disqualified:
            return None if row is None else f"has the score {row} of a disqualified player"
        expected = self._score(epoch)
        if row == expected or row in self._possible.get(epoch, ()):
            return None
        if row is None:
            return None if self._may_be_hidden(final.epoch) else f"has no row, the ledger has the score {expected}"
        has = "no entry" if expected is None else f"the score {expected}"
        return f"has the score {row}, the ledger has {has} of it"

    def _may_be_hidden(self, epoch: Epoch) -> bool:
        """Whether the player was hidden at any time from the end of the epoch until it was sealed."""
        hidden = not self._hidings[0][1] if self._hidings else self._is_hidden
        for at, hides in self._hidings:
            if epoch.sealed_at is not None and at > epoch.sealed_at:
                break
            if epoch.end is not None and at >= epoch.end and hidden:
                return True
            hidden = hides
        return hidden
