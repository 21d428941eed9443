"""The same complaint again and again is written so often a second, and what is held back is counted."""

import io
import json
import logging

import pytest

from leaderboard_logs import setup
from leaderboard_logs.rate_limit import MAX_AUDIT_REFUSALS, MAX_LINES, MAX_PER_CLIENT, RateLimitFilter
from tornado_app.observability import logs


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def passes(clock):
    limit = RateLimitFilter(clock)

    def passes(message="a request failed", level=logging.WARNING):
        record = logging.LogRecord("leaderboard.http", level, "", 0, message, (), None)
        return getattr(record, "suppressed", 0) if limit.filter(record) else None

    return passes


def test_more_of_one_kind_than_may_be_in_a_second_are_held_back_and_counted(passes, clock):
    assert [passes() for _ in range(MAX_LINES + 5)] == [0] * MAX_LINES + [None] * 5
    assert passes("something else") == 0
    clock.now += 1
    assert [passes() for _ in range(2)] == [5, 0]


def test_a_line_for_each_update_has_no_bound(passes):
    assert {passes(level=logging.INFO) for _ in range(10 * MAX_LINES)} == {0}


def test_the_audit_log_has_no_bound():
    limit = RateLimitFilter()
    record = logging.LogRecord("leaderboard.audit", logging.WARNING, "", 0, "suspicious player", (), None)
    assert all(limit.filter(record) for _ in range(10 * MAX_LINES))


def refusal(caller="ann", reason="expired_token", logger="leaderboard.audit", remote="203.0.113.1"):
    record = logging.LogRecord(logger, logging.INFO, "", 0, "score update refused", (), None)
    record.__dict__.update(event="score_refused", caller=caller, remote=remote, reason=reason)
    return record


@pytest.mark.parametrize(
    ("logger", "most"), [("leaderboard.audit", MAX_AUDIT_REFUSALS), ("leaderboard.refusals", MAX_LINES)]
)
def test_refusals_of_one_reason_are_bounded_also_in_the_audit_log(clock, logger, most):
    limit = RateLimitFilter(clock)
    passed = [limit.filter(refusal(f"player-{n}", logger=logger)) for n in range(most + 7)]
    assert passed == [True] * most + [False] * 7
    assert limit.filter(refusal("player-1", "audience", logger))
    clock.now += 1
    after = refusal(logger=logger)
    assert limit.filter(after)
    assert after.suppressed == 7


@pytest.mark.parametrize("caller", ["mallory", None])
def test_one_client_who_floods_the_log_leaves_room_for_others(clock, caller):
    limit = RateLimitFilter(clock)
    passed = [limit.filter(refusal(caller)) for _ in range(50)]
    assert passed == [True] * MAX_PER_CLIENT + [False] * 45
    assert limit.filter(refusal("ann", remote="203.0.113.2"))


def test_the_service_s_log_says_what_was_held_back(logging_as_before, monkeypatch, clock):
    monkeypatch.setattr(setup, "RateLimitFilter", lambda: RateLimitFilter(clock))
    stream = io.StringIO()
    logs.configure(log_format="json", stream=stream)
    for _ in range(MAX_LINES + 3):
        logging.getLogger("leaderboard.http").warning("request")
    clock.now += 1
    logging.getLogger("leaderboard.http").warning("request")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == MAX_LINES + 1
    assert lines[-1]["suppressed"] == 3
