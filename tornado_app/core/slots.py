"""A player's scores in the periods of a board. Pure.

A slot has the score in one epoch of a period. A new epoch writes nothing: a slot of an earlier epoch is not part of the
present one, and the player's next write moves it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from tornado_app.core.boards import Board

EpochKey: TypeAlias = tuple[str, int]
"""The period and the number of an epoch."""


class OpenEpoch(msgspec.Struct, frozen=True):
    """The epoch of a period that a write counts in. Results of epochs before `unsealed` are final."""

    period: str
    number: int
    unsealed: int = 1


class OpenEpochs(msgspec.Struct, frozen=True):
    """The epochs of a board's periods that a write counts in, until a time of the database in milliseconds.

    `until` None: without an end, as there are no periods.
    """

    epochs: tuple[OpenEpoch, ...] = ()
    until: int | None = None


NO_EPOCHS = OpenEpochs()

MAX_FOLLOWED = 32
"""Earlier epochs of a slot beyond which changes are not followed: they do not say which results are final, so the slot
would grow in memory with each epoch."""


class EpochScore(NamedTuple):
    """The score in one epoch, and when it was reached, in milliseconds since the epoch of Unix."""

    epoch: int
    score: int
    at: int


class Slot(msgspec.Struct, frozen=True):
    """A player's score in a period. `score` None: there is none any more. `at`: when it was reached, in milliseconds.

    `earlier`: the scores in earlier epochs whose results may not be final, oldest first.
    """

    period: str
    epoch: int
    score: int | None
    at: int
    earlier: tuple[EpochScore, ...] = ()

    def moved(self, epoch: OpenEpoch) -> Slot:
        """The empty slot of a later epoch."""
        earlier = [each for each in self.earlier if each.epoch >= epoch.unsealed]
        if self.score is not None and self.epoch >= epoch.unsealed:
            earlier.append(EpochScore(self.epoch, self.score, self.at))
        return Slot(self.period, epoch.number, None, 0, tuple(earlier))


class SlotBefore(msgspec.Struct, frozen=True, array_like=True):
    """What the record of a write says about a period: the epoch, and the score there before the write."""

    period: str
    epoch: int
    score: int | None


class SlotChange(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The score of a player in an epoch of a period, before and after a write; None: none that the view shows.

    `at`: when the new one was reached, in milliseconds; 0 if that did not change.
    """

    period: str
    epoch: int
    old: int | None
    new: int | None
    at: int


def recorded(slots: Sequence[Slot]) -> list[SlotBefore]:
    """The scores that slots have, as the record of a write names them."""
    return [SlotBefore(slot.period, slot.epoch, slot.score) for slot in slots if slot.score is not None]


def followed(slots: Sequence[Slot], changes: Sequence[SlotChange]) -> tuple[Slot, ...] | None:
    """The slots after actions that changed them in this way; None if the slots are not those before the
    actions, or would become too long."""
    after = {slot.period: slot for slot in slots}
    for change in changes:
        slot = after.get(change.period) or Slot(change.period, change.epoch, None, 0)
        if slot.epoch < change.epoch:
            if len(slot.earlier) >= MAX_FOLLOWED:
                return None
            slot = slot.moved(OpenEpoch(change.period, change.epoch))  # it keeps final results, too, until it moves on
        if (slot.epoch, slot.score) != (change.epoch, change.old):
            return None
        after[slot.period] = Slot(slot.period, slot.epoch, change.new, change.at or slot.at, slot.earlier)
    return tuple(after.values())


def epoch_scores(slots: Sequence[Slot]) -> dict[EpochKey, EpochScore]:
    """All scores, also those in earlier epochs."""
    found: dict[EpochKey, EpochScore] = {}
    for slot in slots:
        for each in slot.earlier:
            found[slot.period, each.epoch] = each
        if slot.score is not None:
            found[slot.period, slot.epoch] = EpochScore(slot.epoch, slot.score, slot.at)
    return found


def with_scores(slots: Sequence[Slot], changed: Mapping[EpochKey, EpochScore | None]) -> tuple[Slot, ...]:
    """The slots with other scores in some epochs that have one; None: none any more."""
    after = []
    for slot in slots:
        score, at = slot.score, slot.at
        if (slot.period, slot.epoch) in changed:
            present = changed[slot.period, slot.epoch]
            score, at = (None, 0) if present is None else (present.score, present.at)
        earlier = [changed.get((slot.period, each.epoch), each) for each in slot.earlier]
        after.append(Slot(slot.period, slot.epoch, score, at, tuple([each for each in earlier if each is not None])))
    return tuple(after)


def find(slots: Sequence[Slot], period: str) -> Slot | None:
    """The slot of a period."""
    return next((slot for slot in slots if slot.period == period), None)


def with_value(
    slots: Sequence[Slot], epochs: Sequence[OpenEpoch], value: int, now: int, board: Board
) -> tuple[tuple[Slot, ...], list[SlotBefore]]:
    """The slots after a value was submitted at `now`, and what was there before.

    A slot of a later epoch than the known one shows that the later one is open.
    """
    after, before = {slot.period: slot for slot in slots}, list[SlotBefore]()
    for epoch in epochs:
        slot = after.get(epoch.period) or Slot(epoch.period, epoch.number, None, 0)
        if slot.epoch < epoch.number:
            slot = slot.moved(epoch)
        before.append(SlotBefore(slot.period, slot.epoch, slot.score))
        score = board.score_after(slot.score, value)
        at = slot.at if score == slot.score else now
        after[slot.period] = Slot(slot.period, slot.epoch, score, at, slot.earlier)
    return tuple(after.values()), before
