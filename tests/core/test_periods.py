"""Boundaries of schedules over changes of the clock, and in comparison with a count of every minute."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tornado_app.core.periods import Cron, Every, InvalidSchedule, Schedule, to_instant, zone_names

MINUTE = timedelta(minutes=1)

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "America/Santiago",
    "America/Havana",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Asia/Kathmandu",
)


def boundaries(schedule: Schedule, since: str, count: int) -> list[str]:
    """The first boundaries after a local time: `day local time`, and `again` if the same local time was before."""
    zone = ZoneInfo(schedule.time_zone)
    instant: int | None = to_instant(datetime.fromisoformat(since).replace(tzinfo=zone))
    found = []
    for _ in range(count):
        instant = schedule.after(instant)
        moment = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=instant)).astimezone(zone)
        found.append(f"{moment:%m-%d %H:%M}{' again' if moment.fold else ''}")
    return found


@pytest.mark.parametrize(
    ("fields", "zone", "since", "expected"),
    [
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["03-29 03:00", "03-30 02:30"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", ["10-25 02:30", "10-26 02:30"]),
        ("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00", ["11-04 01:00", "11-05 00:00"]),
        ("0 0 * * *", "America/Sao_Paulo", "2018-02-17T12:00", ["02-18 00:00", "02-19 00:00"]),
        ("0 0 * * *", "Africa/Cairo", "2025-04-24T12:00", ["04-25 01:00", "04-26 00:00"]),
        ("0 0 * * *", "Africa/Cairo", "2025-10-30T12:00", ["10-31 00:00", "11-01 00:00"]),
        ("0 0 * * *", "America/Santiago", "2025-09-06T12:00", ["09-07 01:00", "09-08 00:00"]),
        ("30 23 * * *", "America/Santiago", "2025-04-05T12:00", ["04-05 23:30", "04-06 23:30"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2025-10-04T12:00", ["10-05 02:30", "10-06 02:15"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2025-04-05T12:00", ["04-06 01:45", "04-07 01:45"]),
        ("0 0 * * *", "Pacific/Apia", "2011-12-28T12:00", ["12-29 00:00", "12-31 00:00", "01-01 00:00"]),
        ("0 0 * * FRI", "Pacific/Apia", "2011-12-28T12:00", ["12-31 00:00", "01-06 00:00"]),
        ("0 0 * * MON", "Asia/Kathmandu", "2026-11-30T12:00", ["12-07 00:00", "12-14 00:00"]),
        ("0 0 29 2 *", "Europe/Berlin", "2026-01-01T12:00", ["02-29 00:00", "02-29 00:00"]),
        ("0,30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["03-29 03:00", "03-30 02:00"]),
        ("0 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00", ["03-29 03:00", "03-30 02:00"]),
        ("0 */2 * * *", "Europe/Berlin", "2026-10-25T00:00", ["10-25 02:00", "10-25 04:00"]),
        ("*/30 2 * * *", "Europe/Berlin", "2026-10-25T00:00", ["10-25 02:00", "10-25 02:30", "10-26 02:00"]),
        ("0 */12 * * *", "America/Havana", "2026-10-31T23:00", ["11-01 00:00", "11-01 12:00"]),
        ("0 * * * *", "Europe/Berlin", "2026-10-25T01:30", ["10-25 02:00", "10-25 02:00 again", "10-25 03:00"]),
        ("0 */1 * * *", "Europe/Berlin", "2026-10-25T01:30", ["10-25 02:00", "10-25 02:00 again", "10-25 03:00"]),
        ("*/30 * * * *", "Europe/Berlin", "2026-03-29T01:10", ["03-29 01:30", "03-29 03:00", "03-29 03:30"]),
    ],
)
def test_cron_follows_the_clock_of_its_zone(fields: str, zone: str, since: str, expected: list[str]) -> None:
    assert boundaries(Cron(fields, zone), since, len(expected)) == expected


def test_cron_of_leap_days_skips_the_years_between() -> None:
    schedule, instant = Cron("0 0 29 2 *"), to_instant(datetime(2026, 1, 1, tzinfo=UTC))
    assert [(instant := schedule.after(instant)) for _ in range(2)] == [
        to_instant(datetime(year, 2, 29, tzinfo=UTC)) for year in (2028, 2032)
    ]


@pytest.mark.parametrize(
    ("interval", "start", "zone", "since", "expected"),
    [
        ("14d", "2026-03-20T18:00", "Europe/Berlin", "2026-03-20T18:00", ["04-03 18:00", "04-17 18:00"]),
        ("14d", "2026-10-16T18:00", "Europe/Berlin", "2026-10-16T18:00", ["10-30 18:00", "11-13 18:00"]),
        ("2w", "2026-10-16T18:00", "Europe/Berlin", "2026-10-01T00:00", ["10-16 18:00", "10-30 18:00"]),
        ("1d", "2026-03-28T02:30", "Europe/Berlin", "2026-03-28T12:00", ["03-29 03:00", "03-30 02:30"]),
        ("1d", "2026-10-24T02:30", "Europe/Berlin", "2026-10-24T12:00", ["10-25 02:30", "10-26 02:30"]),
        ("1d", "2011-12-28T00:00", "Pacific/Apia", "2011-12-28T12:00", ["12-29 00:00", "12-31 00:00", "01-01 00:00"]),
        ("24h", "2026-03-28T02:30", "Europe/Berlin", "2026-03-28T12:00", ["03-29 03:30", "03-30 03:30"]),
        ("12h", "2026-10-24T18:00", "Europe/Berlin", "2026-10-24T18:00", ["10-25 05:00", "10-25 17:00"]),
        ("90m", "2026-10-25T01:00", "Europe/Berlin", "2026-10-25T01:00", ["10-25 02:30", "10-25 03:00"]),
        ("30s", "2026-12-01T18:00", "Asia/Tokyo", "2026-12-01T18:00", ["12-01 18:00", "12-01 18:01"]),
    ],
)
def test_every_keeps_the_local_time_of_days_and_the_elapsed_time_of_hours(
    interval: str, start: str, zone: str, since: str, expected: list[str]
) -> None:
    assert boundaries(Every(interval, datetime.fromisoformat(start), zone), since, len(expected)) == expected


def test_every_before_its_start_has_the_start_as_its_first_boundary() -> None:
    start = datetime.fromisoformat("2040-01-01")
    for interval in ("14d", "6h"):
        assert Every(interval, start).after(0) == to_instant(start.replace(tzinfo=UTC))


INSTANTS = st.integers(1_262_304_000_000, 1_893_456_000_000)  # 2010 to 2030
SOME = st.sampled_from


def at_changes(zone: str) -> list[int]:
    """The instants, to the minute, at which a zone changed its clock between 2010 and 2030."""
    found, hour = [], timedelta(hours=1)
    moment = datetime(2010, 1, 1, tzinfo=UTC)
    offset = moment.astimezone(ZoneInfo(zone)).utcoffset()
    while moment.year < 2030:
        moment += 12 * hour
        if (moment.astimezone(ZoneInfo(zone)).utcoffset()) != offset:
            minute = moment - 12 * hour
            while minute.astimezone(ZoneInfo(zone)).utcoffset() == offset:
                minute += MINUTE
            offset = moment.astimezone(ZoneInfo(zone)).utcoffset()
            found.append(to_instant(minute))
    return found


CHANGES = {zone: at_changes(zone) or [0] for zone in ZONES}

ZONES_AND_INSTANTS = SOME(ZONES).flatmap(
    lambda zone: st.tuples(
        st.just(zone),
        st.one_of(
            INSTANTS, st.builds(int.__add__, SOME(CHANGES[zone]), st.integers(-36 * 60, 90).map((60_000).__mul__))
        ),
    )
)

MINUTES = st.lists(SOME((0, 1, 15, 30, 45, 59)), min_size=1, max_size=3, unique=True)
HOURS = st.one_of(st.none(), st.lists(SOME((0, 1, 2, 3, 12, 23)), min_size=1, max_size=3, unique=True))


def field(numbers: Iterable[int] | None) -> str:
    return "*" if numbers is None else ",".join(map(str, numbers))


def by_minutes(zone: ZoneInfo, minutes: list[int], hours: list[int] | None, since: int) -> list[int]:
    """The boundaries of the days after an instant, found by looking at the clock of the zone in each minute."""
    first = datetime.fromtimestamp(since / 1000, UTC).replace(second=0, microsecond=0) - timedelta(hours=3)
    moments = [first + number * MINUTE for number in range(4 * 24 * 60)]
    clock = [moment.astimezone(zone).replace(tzinfo=None) for moment in moments]
    if hours is None:
        return [to_instant(moment) for moment, local in zip(moments, clock, strict=True) if local.minute in minutes]
    shown = dict(zip(reversed(clock), reversed(moments), strict=True))  # of a repeated time, the first
    found, local, due = list[int](), clock[0], False
    while local <= clock[-1]:
        due = due or (local.hour in hours and local.minute in minutes)
        if due and local in shown:  # else it is skipped
            found.append(to_instant(shown[local]))
            due = False
        local += MINUTE
    return found


@settings(max_examples=100)
@given(ZONES_AND_INSTANTS, MINUTES, HOURS)
def test_cron_has_the_boundaries_that_a_count_of_minutes_finds(
    place: tuple[str, int], minutes: list[int], hours: list[int] | None
) -> None:
    zone, since = place
    assume(hours is not None or zone != "Australia/Lord_Howe")  # there, each hour is one boundary, also a repeated half
    expected = [each for each in by_minutes(ZoneInfo(zone), minutes, hours, since) if each > since][:4]
    schedule, found = Cron(f"{field(minutes)} {field(hours)} * * *", zone), [since]
    for _ in expected:
        found.append(schedule.after(found[-1]))
    assert found[1:] == expected


SCHEDULES = st.one_of(
    st.builds(
        lambda minute, hour, day: lambda zone: Cron(f"{minute} {hour} * * {day}", zone),
        SOME(("0", "30", "*/7", "*")),
        SOME(("*", "*/2", "0", "1-3", "23", "*/5,1")),
        SOME(("*", "MON", "FRI,SUN", "5#1")),
    ),
    st.builds(
        lambda interval, start: lambda zone: Every(interval, start, zone),
        SOME(("1d", "2w", "5h", "90m", "7s", "45d")),
        st.integers(0, 10_000_000).map(lambda minutes: datetime.fromisoformat("2010-01-01") + minutes * MINUTE),
    ),
)


@settings(max_examples=300)
@given(ZONES_AND_INSTANTS, SCHEDULES, st.floats(0, 1))
@example(("Pacific/Apia", 1325239200000), lambda zone: Cron("0 0 * * *", zone), 0.5)
def test_boundaries_increase_and_are_the_same_from_every_instant_between(
    place: tuple[str, int], schedule_in, part: float
) -> None:
    zone, since = place
    schedule = schedule_in(zone)
    found = [since]
    for _ in range(4):
        found.append(schedule.after(found[-1]))
    for before, after in pairwise(found):
        assert before < after
        assert schedule.after(before + int((after - 1 - before) * part)) == after
        assert schedule.after(after - 1) == after


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("0 0 * *", "it must have five fields"),
        ("0 0 0 * * *", "it must have five fields"),
        ("", "it must have five fields"),
        ("60 0 * * *", "bad minute"),
        ("0 0 * * FUNDAY", "bad day-of-week"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("0 0 31 4,6 *", "bad day-of-month"),
        ("0 0 29 2 MON#2", None),
        (f"{'0,' * 60}0 0 * * *", "it must have five fields"),
    ],
)
def test_cron_that_cannot_be_used_says_why(fields: str, problem: str | None) -> None:
    if problem is None:
        assert Cron(fields).after(0)
        return
    with pytest.raises(InvalidSchedule, match=f"^{problem}"):
        Cron(fields)


@given(st.text("0159*/,-#LW MONJAN²", max_size=40))
def test_cron_of_any_text_is_a_schedule_or_an_error(text: str) -> None:
    try:
        schedule = Cron(text)
    except InvalidSchedule:
        return
    assert schedule.after(1_800_000_000_000)


@pytest.mark.parametrize("interval", ["", "d", "0d", "1.5d", "14", "1d12h", "-1d", "10000d", "14 d", "1y"])
def test_every_with_another_form_of_interval_is_an_error(interval: str) -> None:
    with pytest.raises(InvalidSchedule, match="such as 14d or 6h"):
        Every(interval, datetime.fromisoformat("2026-01-01"))


@pytest.mark.parametrize("key", ["Europe", "../x", "/etc/passwd", "", "a\0b", "localtime", "Europe/berlin", "x" * 5000])
def test_zone_that_does_not_exist_is_an_error(key: str) -> None:
    for make in (lambda: Cron("0 0 * * *", key), lambda: Every("1d", datetime.fromisoformat("2026-01-01"), key)):
        with pytest.raises(InvalidSchedule, match="there is no such time zone"):
            make()


def test_zones_of_the_table_exist() -> None:
    assert set(ZONES) <= zone_names()
