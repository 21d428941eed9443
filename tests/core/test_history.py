"""The history of a player: its stored entries, what a write removes, and the rate-limit state of its times."""

import pytest

from tornado_app.core.history import (
    EMPTY,
    MAX_EXPIRED,
    History,
    HistoryEntry,
    WriteKind,
    decode,
    encode,
    rate_limit_state,
)
from tornado_app.core.model import RateLimitState
from tornado_app.core.policies import MAX_HISTORY_ENTRIES, RateLimit

NOW = 1_800_000_000_000


def action(number, at=NOW, retention=120, **fields):
    return HistoryEntry(WriteKind.ACTION, 5, f"w.{number}", at, retention, **fields)


def history(*entries):
    """A history of these entries, newest first; the oldest has number 1."""
    return History.of(range(len(entries), 0, -1), entries)


# -- stored entries -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"points": 2**63 - 1},
        {"points": -(2**63)},
        {"at": 2**63 - 1},
        {"at": -(2**63)},
        {"retention": 0},
        {"retention": 2**31 - 1},
        {"submitted": 2**63 - 1, "before": -(2**63), "reached": NOW},
        {"submitted": 0, "before": 0},
    ],
)
def test_entry_at_the_limits_is_decoded(fields):
    entry = HistoryEntry(**{"kind": WriteKind.ACTION, "points": 5, "write_id": "w"} | fields)
    assert decode(encode(entry)) == entry


@pytest.mark.parametrize(
    "text",
    [
        '["a",9223372036854775808,"w"]',
        '["a",-9223372036854775809,"w"]',
        '["a",5,"w",9223372036854775808]',
        '["a",5,"w",-9223372036854775809]',
        '["a",5,"w",0,-1]',
        '["a",5,"w",0,2147483648]',
        '["a",5,""]',
        '["?",5,"w"]',
        '["a",5]',
        '["a",5,"w",0,0,"",null,"",null,"",true,"",[],9223372036854775808]',
        '["a",5,"w",0,0,"",null,"",null,"",true,"",[],5,-9223372036854775809]',
        "[" * 100_000,
        "",
        None,
        5,
    ],
)
def test_value_that_the_service_did_not_write_is_no_entry(text):
    assert decode(text) is None


def test_entry_of_points_is_stored_without_the_members_of_a_submitted_score():
    assert encode(action(1)).endswith('"]')
    assert encode(action(1, submitted=7)).endswith(',"",[],7,null,0]')


@pytest.mark.parametrize("kind", [WriteKind.ACTION, WriteKind.REGISTER, WriteKind.TAKE_BACK])
def test_entry_that_changes_the_score_adds_its_points(kind):
    assert HistoryEntry(kind, -5, "w").added == -5


@pytest.mark.parametrize("kind", [WriteKind.HIDE, WriteKind.SHOW, WriteKind.ERASE, WriteKind.PROFILE])
def test_entry_that_contains_the_score_adds_no_points(kind):
    assert HistoryEntry(kind, 500, "w").added == 0


# -- what decisions need ------------------------------------------------------------------------------


def test_history_finds_an_entry_by_its_number():
    entries = history(action(2), action(1))
    assert entries.entry(1) == action(1)
    assert entries.entry(3) is None
    assert entries.compact().entry(1) is None


def test_history_may_contain_the_ids_of_its_actions():
    entries = history(action(2, id="x"), action(1)).compact()
    assert entries.may_contain("x")
    assert not entries.may_contain("y")


def test_history_times_are_those_of_actions_or_of_the_profile():
    entries = history(
        action(4, NOW), HistoryEntry(WriteKind.PROFILE, 0, "w.3", NOW - 1),
        action(2, NOW - 2), HistoryEntry(WriteKind.REGISTER, 0, "w.1", NOW - 3),
    )  # fmt: skip
    assert list(entries.action_times()) == [NOW, NOW - 2]
    assert list(entries.profile_times()) == [NOW - 1, NOW - 3]


def test_history_points_are_those_of_actions_after_a_time_that_were_not_taken_back():
    taken_back = HistoryEntry(WriteKind.TAKE_BACK, -5, "w.5", NOW, takes_back=["w.2"])
    entries = history(taken_back, action(4, NOW), action(3, NOW - 1), action(2, NOW), action(1, NOW - 2))
    assert entries.points_since(NOW - 1) == 5
    assert entries.points_since(NOW - 2) == 10
    assert entries.points_since(NOW - 3) == 15


# -- what a write removes -----------------------------------------------------------------------------


def test_entry_expires_a_moment_after_the_retention():
    entries = history(action(2, NOW), action(1, NOW - 120_000))
    assert entries.expired(NOW, 120) == ()
    assert entries.expired(NOW + 1, 120) == (1,)


def test_entry_stays_for_the_longest_retention_of_all_entries():
    entries = history(action(2, NOW, 10), action(1, NOW - 60_000, 60))
    assert entries.expired(NOW, 10) == ()
    assert entries.expired(NOW + 1, 10) == (1,)
    assert entries.expired(NOW + 1, 61) == ()


def test_entries_expire_in_their_order_only():
    entries = history(action(3, NOW - 200_000), action(2, NOW), action(1, NOW - 200_000))
    assert entries.expired(NOW, 120) == (1,)


def test_entry_that_no_decision_needs_expires_at_once():
    suspended = HistoryEntry(WriteKind.SUSPEND, 0, "w.2", NOW, 120)
    assert history(action(3), suspended, action(1)).expired(NOW, 120) == (2,)


def test_one_write_removes_a_bounded_number_of_entries_the_oldest_first():
    entries = history(*(action(number, NOW - 200_000) for number in range(MAX_EXPIRED + 5, 0, -1)))
    assert entries.expired(NOW, 120) == tuple(range(MAX_EXPIRED, 0, -1))


def test_full_history_makes_room_for_the_next_entry():
    entries = history(*(action(number) for number in range(MAX_HISTORY_ENTRIES, 0, -1)))
    assert entries.expired(NOW, 120) == (1,)
    after = entries.add(MAX_HISTORY_ENTRIES + 1, action("new"), (1,))
    assert len(after.seqs) == MAX_HISTORY_ENTRIES


def test_empty_history_has_nothing_to_remove():
    assert EMPTY.expired(NOW, 120) == ()


@pytest.mark.parametrize("compact", [False, True])
def test_history_loses_the_removed_entries_in_every_column(compact):
    suspended = HistoryEntry(WriteKind.SUSPEND, 0, "w.3", NOW)
    entries = [action(4, id="d"), suspended, action(2, NOW - 1, id="b"), action(1, NOW - 2, 60)]
    before, expected = history(*entries), History.of((5, 4, 2), (action(5, id="e"), entries[0], entries[2]))
    if compact:
        before, expected = before.compact(), expected.compact()
    after = before.add(5, action(5, id="e"), (1, 3))
    assert {name: getattr(after, name) for name in History.__slots__} == {
        name: getattr(expected, name) for name in History.__slots__
    }


# -- the rate limit -----------------------------------------------------------------------------------

LIMIT = RateLimit(3, 60)


@pytest.mark.parametrize(
    ("ages", "remaining", "reset"),
    [
        ([], 3, 0.0),
        ([0], 2, 60.0),
        ([10_500], 2, 49.5),
        ([59_999], 2, 0.001),
        ([60_000], 3, 0.0),
        ([5_000, 10_000], 1, 50.0),
        ([5_000, 10_000, 20_000], 0, 40.0),
        ([5_000, 10_000, 20_000, 30_000], 0, 40.0),
        ([5_000, 70_000, 20_000], 0, 40.0),  # the clock stepped: the order counts
        ([70_000, 80_000, 90_000], 3, 0.0),
        ([-5_000], 2, 60.0),  # another process's clock is ahead
    ],
)
def test_rate_limit_state_counts_the_window_and_names_the_next_free_update(ages, remaining, reset):
    assert rate_limit_state([NOW - age for age in ages], NOW, LIMIT) == RateLimitState(remaining, reset)
