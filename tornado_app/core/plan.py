"""The plan of epochs: what is open when, how it is continued, and for how long a process may rely on it. Pure.

Instants are milliseconds since 1970, by the database's clock. An epoch is open until its end. A write that was decided
before may still arrive for `GRACE`; the epoch is closing until then, and until its review is over. Then it is sealed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from tornado_app.core.boards import Board, View
from tornado_app.core.periods import Epoch, EpochState, Schedule
from tornado_app.core.slots import NO_EPOCHS, OpenEpoch, OpenEpochs

VALID = 8_000
"""Milliseconds for which what a process read of the plan is valid."""

GRACE = 10_000
"""Milliseconds after the end of an epoch until which a write may arrive. Greater than VALID: a process that does not
know of an end yet has stopped writing by then."""

NOTICE = 5_000
"""Milliseconds before a new end of an open epoch at which it is written. VALID less NOTICE is less than GRACE."""

AHEAD = 30_000
"""Milliseconds that are planned at least, so that short epochs outlast a planner that was killed."""


ENDING = 60_000
"""Milliseconds before the end of an epoch at which it is announced, unless the epoch is shorter."""


class Announcement(msgspec.Struct, frozen=True):
    """What clients receive about the open epoch of a period. `ending`: in its last `ENDING` milliseconds."""

    epoch: int
    end: int | None
    ending: bool


class Plan(msgspec.Struct, frozen=True):
    """The epochs of each period that are not dropped, oldest first; `known_at`: when it was read."""

    epochs: Mapping[View, Sequence[Epoch]] = {}
    known_at: int = 0

    @property
    def valid_until(self) -> int:
        """The time from which on no write may be decided from this plan."""
        return self.known_at + VALID

    def open(self, view: View, now: int) -> Epoch | None:
        """The epoch of a period that a write counts in; None if none is planned for this time."""
        return next((epoch for epoch in self._planned(view) if is_open(epoch, now)), None)

    def unsealed(self, view: View) -> int:
        """The number of the first epoch whose result is not final: those of earlier epochs are."""
        planned, epochs = self._planned(view), self.epochs.get(view, ())
        if planned:
            return planned[0].number
        return epochs[-1].number + 1 if epochs else 1

    def _planned(self, view: View) -> Sequence[Epoch]:
        """The epochs that are not sealed; they are sealed in their order, and up to 1000 sealed ones are kept."""
        epochs = self.epochs.get(view, ())
        return epochs[bisect_left(epochs, True, key=lambda epoch: epoch.state is EpochState.PLANNED) :]  # noqa: FBT003

    def unsealed_for(self, view: View, review: float, now: int) -> int:
        """Milliseconds since the first epoch whose result is not final could be sealed; 0 if it cannot be yet.

        `review`: seconds.
        """
        planned = self._planned(view)
        at = due(planned[0], review) if planned else None
        return 0 if at is None else max(0, now - at)

    def is_late(self, view: View, number: int, at: int) -> bool:
        """Whether no write to an epoch could arrive at a time any more."""
        for epoch in reversed(self.epochs.get(view, ())):
            if epoch.number < number:
                break
            if epoch.end is not None and at > epoch.end + GRACE:  # also of a later one: this one may be dropped
                return True
        return False

    def open_epochs(self, board: Board, now: int) -> OpenEpochs | None:
        """The epochs that a write to a board counts in; None if the plan is too old, or has none for a period."""
        if not board.periods:
            return NO_EPOCHS
        views = [View(board.name, period.name) for period in board.periods]
        epochs = [epoch for view in views if (epoch := self.open(view, now)) is not None]
        if now >= self.valid_until or len(epochs) < len(views):
            return None
        until = min([epoch.end + GRACE for epoch in epochs if epoch.end is not None], default=self.valid_until)
        numbered = zip(board.periods, epochs, views, strict=True)
        return OpenEpochs(
            tuple([OpenEpoch(period.name, epoch.number, self.unsealed(view)) for period, epoch, view in numbered]),
            min(until, self.valid_until),
        )


def is_open(epoch: Epoch, now: int) -> bool:
    """Whether the epoch is open at a time."""
    return epoch.state is EpochState.PLANNED and epoch.start <= now and (epoch.end is None or now < epoch.end)


def announcement(epoch: Epoch, now: int) -> tuple[Announcement, int | None]:
    """What is announced about an open epoch, and until when; None: until its end is known."""
    end = epoch.end
    if end is None:
        return Announcement(epoch.number, None, ending=False), None
    notice = max(epoch.start, end - ENDING)
    ending = epoch.start < notice <= now
    return Announcement(epoch.number, end, ending=ending), notice if now < notice else end


def due(epoch: Epoch, review: float) -> int | None:
    """The time from which on an epoch may be sealed; None: its end is not known. `review`: seconds."""
    return None if epoch.end is None else epoch.end + GRACE + round(review * 1000)


def continued(epochs: Sequence[Epoch], schedule: Schedule | None, now: int) -> Iterator[Epoch]:
    """The epochs that a plan lacks at a time: new ones, or the last one with its end.

    At least two boundaries are ahead. One that is planned does not change, also if the schedule has. Missed boundaries
    follow one by one. `schedule` None: the last epoch has no end until it is ended.
    """
    last = epochs[-1] if epochs else None
    ahead = sum([epoch.end is not None and epoch.end > now for epoch in epochs])
    if last is None:
        last = Epoch(1, now, _boundary(schedule, now))
        ahead += 1
        yield last
    elif last.end is None and (end := _boundary(schedule, max(last.start, now + 2 * NOTICE))) is not None:
        last = msgspec.structs.replace(last, end=end)
        ahead += 1
        yield last
    while last.end is not None and (schedule is None or ahead < 2 or last.end < now + AHEAD):
        last = Epoch(last.number + 1, last.end, _boundary(schedule, last.end))
        ahead += last.end is not None and last.end > now
        yield last


def _boundary(schedule: Schedule | None, after: int) -> int | None:
    return None if schedule is None else schedule.after(after)
