"""The message about the open epoch of a period, to sockets whose address names the period."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from tornado_app.api.schema import TIME, Time
from tornado_app.core.boards import ALL_TIME, View
from tornado_app.core.model import rfc3339
from tornado_app.core.plan import ENDING, Announcement


class PeriodMessage(msgspec.Struct):
    """The open epoch of the period. Sent if the address has `?period=NAME`: after the first board, when an epoch
    begins, before it ends, and when its end changes."""

    type: Literal["period"]
    period: Annotated[str, msgspec.Meta(description="Name of the period.")]
    epoch: Annotated[int, msgspec.Meta(ge=1, description="Number of the epoch; the first is 1.")]
    state: Annotated[
        Literal["open", "ending"],
        msgspec.Meta(
            description=f"`ending` in the last {ENDING // 1000} seconds of an epoch that is longer, otherwise `open`."
        ),
    ]
    end: Annotated[Time | None, msgspec.Meta(description="When the epoch ends; null while it is not known.")]
    now: Annotated[Time, msgspec.Meta(description="The time of the database, for a countdown that needs no clock.")]


EXAMPLE = PeriodMessage("period", "weekly", 15, "open", TIME, TIME)


def encode(view: View, announcement: Announcement, now: int) -> bytes:
    """The message about a period. `now`: the time of the database, in milliseconds."""
    end = None if announcement.end is None else rfc3339(announcement.end)
    state: Literal["open", "ending"] = "ending" if announcement.ending else "open"
    return msgspec.json.encode(PeriodMessage("period", view.period or "", announcement.epoch, state, end, rfc3339(now)))


def is_announced(period: str | None) -> bool:
    """Whether a socket receives announcements. `period`: what its address names.

    Clients of the frontends' sockets that name none may not know the message.
    """
    return period not in (None, ALL_TIME)
