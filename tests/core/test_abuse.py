"""Each abuse rule fires at its limit, once per window, and not below it."""

import pytest

from tests.support.clock import Clock
from tornado_app.core.abuse import AbuseDetector, AbuseRule, Thresholds
from tornado_app.core.errors import ExpiredActionProof, InvalidActionProof, RateLimited, SuspiciousActivity

LIMITS = Thresholds(window=60, refused_proofs=3, replays=4, jump=10, history=5)


@pytest.fixture
def clock():
    return Clock(0.0)


@pytest.fixture
def detector(clock):
    return AbuseDetector(LIMITS, clock=clock)


def test_jump_is_measured_against_the_players_own_history(detector):
    assert [detector.accepted("a", 5) for _ in range(5)] == [None] * 5
    assert detector.accepted("a", 50) is None
    assert detector.accepted("b", 5000) is None  # no history yet
    assert detector.accepted("a", 1000) is AbuseRule.JUMP


def test_jump_is_not_detected_for_steadily_growing_points(detector):
    assert all(detector.accepted("a", points) is None for points in range(1, 200))


def test_refused_proofs_are_counted_within_one_window(detector, clock):
    for _ in range(10):
        assert detector.refused("a", InvalidActionProof()) is None
        clock.now += 31  # at most two in one minute
    assert detector.refused("a", ExpiredActionProof()) is None
    assert detector.refused("a", InvalidActionProof()) is AbuseRule.REFUSED_PROOFS


def test_replays_above_the_limit_are_detected_once(detector):
    assert [detector.replayed("a") for _ in range(5)] == [None, None, None, AbuseRule.REPLAY_STORM, None]
    assert detector.replayed("b") is None


@pytest.mark.parametrize(("pause", "rule"), [(59, None), (60, AbuseRule.POINTS_CAP), (75, AbuseRule.POINTS_CAP)])
def test_abuse_rule_fires_once_per_window(detector, clock, pause, rule):
    assert detector.refused("a", SuspiciousActivity()) is AbuseRule.POINTS_CAP
    assert detector.refused("a", SuspiciousActivity()) is None
    clock.now += pause
    assert detector.refused("a", SuspiciousActivity()) is rule


def test_other_refusals_break_no_rule(detector):
    assert all(detector.refused("a", RateLimited()) is None for _ in range(50))


def test_abuse_detector_keeps_a_bounded_number_of_players():
    detector = AbuseDetector(max_players=10)
    for n in range(100):
        detector.replayed(f"p{n}")
    # The number of players has no other effect than its memory.
    assert len(detector._players) == 10


def test_abuse_detector_drops_the_player_without_activity_for_the_longest_time(clock):
    detector = AbuseDetector(LIMITS, clock=clock, max_players=2)
    for player in ("a", "b", "a", "a", "c"):
        assert detector.replayed(player) is None
    assert detector.replayed("a") is AbuseRule.REPLAY_STORM
    assert [detector.replayed("b") for _ in range(3)] == [None] * 3


@pytest.mark.parametrize(("pause", "rule"), [(30.0, AbuseRule.REFUSED_PROOFS), (30.1, None)])
def test_refused_proofs_at_both_ends_of_a_window_are_counted(detector, clock, pause, rule):
    for _ in range(2):
        assert detector.refused("a", InvalidActionProof()) is None
        clock.now += pause
    assert detector.refused("a", InvalidActionProof()) is rule


def test_jump_needs_more_than_the_multiple_of_the_mean(detector):
    for points in (2, 4, 6, 8, 10):
        assert detector.accepted("a", points) is None
    assert detector.accepted("a", 60) is None  # the mean is 6
    for points in (2, 4, 6, 8, 10):
        assert detector.accepted("b", points) is None
    assert detector.accepted("b", 61) is AbuseRule.JUMP


def test_mean_of_points_follows_the_last_updates(detector):
    for _ in range(1000):
        detector.accepted("a", 1)
    for _ in range(100):
        detector.accepted("a", 9)
    assert detector.accepted("a", 80) is None
