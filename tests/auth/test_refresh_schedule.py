"""When the provider is asked, by a clock that the test sets."""

from __future__ import annotations

import pytest

from tornado_app.auth.refresh_schedule import RefreshSchedule, max_age


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", None),
        ("public", None),
        ("max-age=3600", 3600),
        ("public, max-age=19845, must-revalidate, no-transform", 19845),
        ("public,Max-Age = 60", 60),
        ('max-age="60"', 60),
        ("s-maxage=60", None),
        ("max-age=-1", None),
        ("max-age=x", None),
        ("max-age=99999999999999", None),
        ("no-store", 0),
        ("no-cache, max-age=600", 0),
    ],
)
def test_the_age_that_a_provider_names(header, seconds):
    assert max_age(header) == seconds


@pytest.mark.parametrize(
    ("age", "used"),
    [(None, 900), (0, 300), (299, 300), (3600, 3600), (86400, 86400), (1e9, 86400)],
)
def test_a_set_is_used_for_five_minutes_to_a_day(age, used):
    schedule = RefreshSchedule()
    schedule.began(1000)
    schedule.succeeded(1000, age, 0)
    assert schedule.due == 1000 + used
    schedule.succeeded(1000, age, 1)
    assert schedule.due == 1000 + used * 0.9


def test_failures_are_tried_again_after_ever_longer_times():
    schedule, waits = RefreshSchedule(), []
    for _ in range(9):
        schedule.began(0)
        schedule.failed(0)
        waits.append(schedule.due)
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    schedule.succeeded(0, None, 0)
    schedule.failed(1000)
    assert schedule.due == 1005


def test_an_unknown_key_is_looked_for_once_a_minute_whatever_caused_the_last_fetch():
    schedule = RefreshSchedule()
    assert schedule.may_refresh(0)
    schedule.began(0)
    assert not schedule.may_refresh(59.9)
    assert schedule.may_refresh(60)


def test_a_fetch_that_never_reported_is_not_repeated_at_once():
    schedule = RefreshSchedule()
    schedule.began(100)
    assert schedule.due == 105
