"""How a plan is continued, and for how long it may be relied on."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tornado_app.core.boards import Board, View
from tornado_app.core.model import utc_datetime
from tornado_app.core.periods import (
    START_YEARS,
    Cron,
    Epoch,
    EpochState,
    Every,
    Period,
    Schedule,
    to_instant,
)
from tornado_app.core.plan import (
    AHEAD,
    ENDING,
    GRACE,
    NOTICE,
    VALID,
    Announcement,
    Plan,
    announcement,
    continued,
    due,
)
from tornado_app.core.slots import NO_EPOCHS, OpenEpoch, OpenEpochs

HOUR = 3_600_000
HOURLY = Cron("0 * * * *")
VIEW = View("main", "hourly")


def merged(epochs: list[Epoch], schedule: Schedule | None, now: int) -> list[Epoch]:
    """The epochs after a step of the planner."""
    by_number = {epoch.number: epoch for epoch in epochs}
    by_number |= {epoch.number: epoch for epoch in continued(epochs, schedule, now)}
    return list(by_number.values())


def test_plan_of_a_new_period_begins_now_and_has_two_boundaries_ahead() -> None:
    now = 10 * HOUR + 5
    assert list(continued([], HOURLY, now)) == [Epoch(1, now, 11 * HOUR), Epoch(2, 11 * HOUR, 12 * HOUR)]


def test_plan_with_two_boundaries_ahead_does_not_change() -> None:
    epochs = merged([], HOURLY, 10 * HOUR)
    assert merged(epochs, HOURLY, 11 * HOUR - 1) == epochs
    assert merged(epochs, Cron("30 0 * * *"), 11 * HOUR - 1) == epochs
    assert merged(epochs, None, 11 * HOUR - 1) == [*epochs, Epoch(3, 12 * HOUR)]


def test_plan_is_continued_one_boundary_after_the_other() -> None:
    epochs = merged([], HOURLY, 10 * HOUR)
    assert merged(epochs, HOURLY, 11 * HOUR) == [*epochs, Epoch(3, 12 * HOUR, 13 * HOUR)]


def test_plan_after_three_missed_boundaries_has_each_of_them() -> None:
    epochs = merged([], HOURLY, 10 * HOUR)
    later = merged(epochs, HOURLY, 14 * HOUR + 1)
    assert [epoch.end for epoch in later] == [hour * HOUR for hour in range(11, 17)]
    assert [epoch.number for epoch in later] == list(range(1, 7))


def test_plan_with_another_schedule_changes_after_the_announced_boundaries() -> None:
    epochs = merged([], HOURLY, 10 * HOUR)
    assert merged(epochs, Cron("30 0 * * *"), 11 * HOUR)[2:] == [Epoch(3, 12 * HOUR, 24 * HOUR + HOUR // 2)]


def test_plan_without_a_schedule_has_an_epoch_without_an_end() -> None:
    epochs = merged([], None, 5)
    assert epochs == [Epoch(1, 5)]
    assert list(continued(epochs, None, 99 * HOUR)) == []
    assert list(continued([Epoch(1, 5, 7)], None, 6)) == [Epoch(2, 7)]


@pytest.mark.parametrize(("now", "end"), [(10 * HOUR, 11), (11 * HOUR - NOTICE, 12), (11 * HOUR - 1, 12)])
def test_plan_with_a_new_schedule_ends_the_open_epoch_with_notice(now: int, end: int) -> None:
    assert merged([Epoch(1, 5)], HOURLY, now)[0] == Epoch(1, 5, end * HOUR)


def test_plan_of_short_epochs_reaches_further_than_a_failover_takes() -> None:
    ends = [epoch.end for epoch in continued([], Cron("* * * * *"), 0)]
    assert ends == [60_000, 120_000]

    class Secondly(Cron, frozen=True):
        def after(self, instant: int) -> int:
            return instant // 1000 * 1000 + 1000

    epochs = merged([], Secondly("* * * * *"), 500)
    assert epochs[-1].end == 31_000
    assert AHEAD == 30_000


@given(st.lists(st.tuples(st.integers(0, 3 * HOUR), st.sampled_from((HOURLY, Cron("*/7 * * * *"), None))), max_size=12))
def test_plan_is_without_a_gap_and_keeps_what_it_announced(steps: list[tuple[int, Schedule | None]]) -> None:
    now, epochs = 0, list[Epoch]()
    for pause, schedule in steps:
        now += pause
        before, epochs = epochs, merged(epochs, schedule, now)
        assert all(old.end is None or old == new for old, new in zip(before, epochs, strict=False))
        assert all(old.end == new.start and old.start < new.start for old, new in pairwise(epochs))
        assert sum([epoch.start <= now and (epoch.end is None or now < epoch.end) for epoch in epochs]) == 1
        assert list(continued(epochs, schedule, now)) == []
        if schedule is not None:
            assert sum([epoch.end > now for epoch in epochs if epoch.end is not None]) >= 2


@given(
    st.integers(1, 9999),
    st.sampled_from("wdhms"),
    st.datetimes(datetime(START_YEARS[0], 1, 1), datetime(START_YEARS[-1], 12, 31, 23, 59)),  # noqa: DTZ001  # local
    st.sampled_from(("UTC", "Pacific/Kiritimati", "Pacific/Apia", "Etc/GMT+12", "Europe/Berlin")),
    st.datetimes(datetime(2020, 1, 1), datetime(2200, 1, 1)),  # noqa: DTZ001  # is UTC
)
@example(9999, "w", datetime(START_YEARS[-1], 12, 31, 23, 59), "Etc/GMT+12", datetime(2200, 1, 1))  # noqa: DTZ001
@example(9999, "h", datetime(START_YEARS[0], 1, 1), "Pacific/Kiritimati", datetime(2020, 1, 1))  # noqa: DTZ001
def test_plan_of_any_interval_has_boundaries_ahead(
    count: int, unit: str, start: datetime, zone: str, now: datetime
) -> None:
    instant = to_instant(now.replace(tzinfo=UTC))
    epochs = list(continued([], Every(f"{count}{unit}", start, zone), instant))
    assert len(epochs) >= 2
    assert all(epoch.start < (epoch.end or 0) for epoch in epochs)
    assert utc_datetime(epochs[-1].end or 0).year < 9999


def test_open_epoch_is_the_one_that_is_planned_for_the_time() -> None:
    plan = Plan({VIEW: (Epoch(3, 0, 10, EpochState.SEALED), Epoch(4, 10, 20), Epoch(5, 20))})
    numbers = [None if (epoch := plan.open(VIEW, now)) is None else epoch.number for now in (0, 10, 19, 20, 99)]
    assert numbers == [None, 4, 4, 5, 5]
    assert plan.open(View("main", "other"), 5) is None
    assert plan.unsealed(VIEW) == 4
    assert plan.unsealed(View("main", "other")) == 1


@pytest.mark.parametrize(
    ("now", "review", "expected"),
    [
        (20 + GRACE, 0, 0),
        (25 + GRACE, 0, 5),
        (25 + GRACE, 1, 0),
        (1_025 + GRACE, 1, 5),
        (99 + GRACE, 0, 79),
    ],
)
def test_unsealed_time_counts_from_the_oldest_epoch_that_is_due(now: int, review: float, expected: int) -> None:
    plan = Plan({VIEW: (Epoch(3, 0, 10, EpochState.SEALED), Epoch(4, 10, 20), Epoch(5, 20, 30), Epoch(6, 30))})
    assert plan.unsealed_for(VIEW, review, now) == expected
    assert plan.unsealed_for(View("main", "other"), review, now) == 0


def test_write_is_late_after_the_grace_of_its_epoch() -> None:
    """Also if the epoch is dropped, and a later one is over."""
    plan = Plan({VIEW: (Epoch(3, 0, 10, EpochState.SEALED), Epoch(4, 10, 20), Epoch(5, 20))})
    late = [[plan.is_late(VIEW, number, at + GRACE) for at in (10, 11, 20, 21)] for number in (2, 3, 4, 5, 6)]
    assert late == [[False, True, True, True]] * 2 + [[False, False, False, True]] + [[False] * 4] * 2
    assert not plan.is_late(View("main", "other"), 1, 99 * HOUR)


@pytest.mark.parametrize(
    ("ends", "until"),
    [
        ((None, None), 100_000 + VALID),
        ((101_000, None), 100_000 + VALID),
        ((97_000, 96_500), 96_500 + GRACE),
    ],
)
def test_open_epochs_are_valid_until_the_first_end_with_its_grace_or_the_end_of_what_is_known(
    ends: tuple[int | None, int | None], until: int
) -> None:
    board = Board(periods=(Period("a"), Period("b")))
    earlier = Epoch(7, 0, 5, EpochState.SEALED)
    epochs = {View("main", "a"): (earlier, Epoch(8, 5, ends[0])), View("main", "b"): (Epoch(1, 0, ends[1]),)}
    plan = Plan(epochs, known_at=100_000)
    assert plan.open_epochs(board, 96_000) == OpenEpochs((OpenEpoch("a", 8, 8), OpenEpoch("b", 1, 1)), until)


def test_open_epochs_are_unknown_if_the_plan_is_old_or_lacks_a_period() -> None:
    board = Board(periods=(Period("a"), Period("b")))
    plan = Plan({View("main", "a"): (Epoch(1, 0, 100),), View("main", "b"): (Epoch(1, 0),)}, known_at=0)
    assert plan.open_epochs(board, 99) is not None
    assert plan.open_epochs(board, 100) is None
    assert plan.open_epochs(Board("other", periods=(Period("a"),)), 99) is None
    assert plan.open_epochs(Board(periods=(Period("b"),)), VALID) is None
    assert plan.open_epochs(Board(), VALID) == NO_EPOCHS


def test_epoch_is_due_after_grace_and_review() -> None:
    assert due(Epoch(1, 0, 7), 1.5) == 7 + GRACE + 1500
    assert due(Epoch(1, 0), 1.5) is None


def test_process_that_does_not_know_of_a_new_end_stops_writing_before_the_epoch_is_sealed() -> None:
    """It read the plan just before the end was written, which was `NOTICE` before the end."""
    assert VALID - NOTICE < GRACE
    assert VALID < GRACE


@pytest.mark.parametrize(
    ("epoch", "now", "ending", "until"),
    [
        (Epoch(3, 5), 9, False, None),
        (Epoch(3, HOUR, 2 * HOUR), HOUR, False, 2 * HOUR - ENDING),
        (Epoch(3, HOUR, 2 * HOUR), 2 * HOUR - ENDING - 1, False, 2 * HOUR - ENDING),
        (Epoch(3, HOUR, 2 * HOUR), 2 * HOUR - ENDING, True, 2 * HOUR),
        (Epoch(3, HOUR, HOUR + ENDING + 1), HOUR + 1, True, HOUR + ENDING + 1),
        (Epoch(3, HOUR, HOUR + ENDING), HOUR, False, HOUR + ENDING),
        (Epoch(3, HOUR, HOUR + ENDING), HOUR + ENDING - 1, False, HOUR + ENDING),
        (Epoch(3, HOUR, HOUR + 1000), HOUR, False, HOUR + 1000),
    ],
    ids=["no end", "begun", "before notice", "notice", "just longer", "as long", "as long, at its end", "shorter"],
)
def test_announcement_of_an_epoch_is_ending_in_its_last_minute_if_it_is_longer(
    epoch: Epoch, now: int, ending: bool, until: int | None
) -> None:
    assert announcement(epoch, now) == (Announcement(3, epoch.end, ending=ending), until)
