"""Periods of a board, such as weeks: their schedules, and the epochs into which they divide time. Pure.

An epoch is one of a period's stretches of time, from one boundary to the next. Instants are milliseconds since 1970, in
UTC.
"""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import NamedTuple, TypeAlias
from zoneinfo import ZoneInfo, available_timezones

import msgspec
from cronsim import CronSim, CronSimError

from tornado_app.core.model import utc_datetime

PERIOD_PATTERN = "[a-z][a-z0-9]{0,15}"
"""A period's name, a regular expression: a member of a player's document, and part of a collection's name."""

MAX_PERIODS = 3
"""The most periods of a board: each one costs an index."""

KEEP = 12
"""The results that are kept by default."""

MAX_CRON = 100
"""Characters of a cron schedule."""

START_YEARS = range(1970, 2100)
"""Years in which an interval can begin: so each boundary is a date, with the longest interval too."""

DEFAULT_ZONE = "UTC"

_INTERVAL = re.compile(r"([1-9][0-9]{0,3})([wdhms])")
_UNITS = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}
_MINUTE = timedelta(minutes=1)


class InvalidSchedule(ValueError):
    """A schedule cannot be used. The message says what is wrong and what to do, without the value."""


class Cron(msgspec.Struct, frozen=True):
    """A schedule of five cron fields (minute, hour, day, month, day of the week) in a time zone.

    With `*` as the hour, boundaries follow elapsed time. Otherwise they are local times, each of which is one boundary:
    of a time that the zone skips, at the end of the gap; of a time that it repeats, the first. Raises InvalidSchedule.
    """

    fields: str
    time_zone: str = DEFAULT_ZONE

    def __post_init__(self) -> None:
        zone(self.time_zone)
        if len(self.fields) > MAX_CRON or len(self.fields.split()) != 5:
            raise InvalidSchedule("it must have five fields: minute, hour, day, month and day of the week")
        try:
            boundary = self.after(0)
        except CronSimError as error:
            raise InvalidSchedule(f"{str(error).lower()}; write five fields, such as 0 0 * * MON") from None
        if boundary is None:
            raise InvalidSchedule("no day matches it")

    def after(self, instant: int) -> int | None:
        """The first boundary after an instant; None if there is none within fifty years."""
        start = utc_datetime(instant).astimezone(zone(self.time_zone))
        for moment in CronSim(_whole_days(self.fields), start):
            boundary = to_instant(moment)
            if boundary > instant:  # in a repeated hour, the first of a local time may be before the instant
                return boundary
        return None


class Every(msgspec.Struct, frozen=True):
    """A schedule of boundaries at an interval (`14d`), the first at the local time `start` of a time zone, in a year of
    START_YEARS.

    Weeks and days are those of the calendar, so the local time stays the same; as in `Cron` where it is skipped or
    repeated. Hours, minutes and seconds are elapsed time. Raises InvalidSchedule.
    """

    interval: str
    start: datetime
    time_zone: str = DEFAULT_ZONE

    def __post_init__(self) -> None:
        zone(self.time_zone)
        if _INTERVAL.fullmatch(self.interval) is None:
            raise InvalidSchedule("it must be 1 to 9999 of w, d, h, m or s, such as 14d or 6h")

    def after(self, instant: int) -> int:
        """The first boundary after an instant."""
        count, unit = _INTERVAL.fullmatch(self.interval).groups()  # type: ignore[union-attr]  # checked above
        step, local = int(count) * _UNITS[unit], zone(self.time_zone)
        calendar = unit in "wd"
        start = self.start if calendar else utc_datetime(_local_instant(self.start, local)).replace(tzinfo=None)
        zoned = local if calendar else UTC
        now = utc_datetime(instant).astimezone(zoned).replace(tzinfo=None)
        number = max((now - start) // step - 1, 0)  # at a change of the clock, one less than the local time says
        while (boundary := _local_instant(start + number * step, zoned)) <= instant:
            number += 1
        return boundary


Schedule: TypeAlias = Cron | Every


class Period(msgspec.Struct, frozen=True):
    """A period of a board. `schedule` None: an epoch ends when it is ended by hand.

    `keep`: results that are kept; `review`: seconds after an epoch's end in which moderation still changes its result.
    """

    name: str
    schedule: Schedule | None = None
    keep: int = KEEP
    review: float = 0.0


class EpochState(StrEnum):
    """PLANNED: it is open, closing or in the future. SEALED: its result is final. DROPPED: its result is removed."""

    PLANNED = "planned"
    SEALED = "sealed"
    DROPPED = "dropped"


class Epoch(msgspec.Struct, frozen=True):
    """The `number`th epoch of a period, from 1: from `start` until before `end`. `end` None: it is not known yet.

    `rows`: the players in its result, and `sha256` its digest, once it is sealed; `sealed_at`: when that was. `erased`:
    the rows that erasures removed, after which the digest is missing until it is computed again.
    """

    number: int
    start: int
    end: int | None = None
    state: EpochState = EpochState.PLANNED
    rows: int | None = None
    sha256: str | None = None
    sealed_at: int | None = None
    erased: int = 0


class FinalResult(NamedTuple):
    """A sealed epoch, with the players who were left out of its result."""

    epoch: Epoch
    disqualified: frozenset[str] = frozenset()


def zone(key: str) -> ZoneInfo:
    """A time zone by its IANA name. Raises InvalidSchedule."""
    if key not in zone_names():
        raise InvalidSchedule("there is no such time zone")
    return ZoneInfo(key)


@functools.cache
def zone_names() -> frozenset[str]:
    """The IANA names of all time zones: without `localtime`, which is another one on each machine."""
    return frozenset(available_timezones() - {"localtime"})


def to_instant(moment: datetime) -> int:
    """The milliseconds of an aware date, rounded down."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _local_instant(local: datetime, zone: ZoneInfo | timezone) -> int:
    """The instant of a local time: the first one if it is repeated, the end of the gap if it is skipped."""
    while True:
        moment = local.replace(tzinfo=zone).astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None) == local:
            return to_instant(moment)
        local += _MINUTE


def _whole_days(fields: str) -> str:
    """Equal cron fields that CronSim evaluates as local times, unless they match every hour.

    It does so if neither minute nor hour begins with `*`. With `*/2` as the hour, it would count a repeated hour twice.
    """
    minute, hour, *days = fields.split()
    if len(CronSim(f"0 {hour} * * *", datetime(1970, 1, 1)).hours) == 24:  # noqa: DTZ001  # only parsed
        return " ".join((minute, "*", *days))
    return " ".join((minute.replace("*", "0-59"), hour.replace("*", "0-23"), *days))
