"""Repeated log lines are limited per second, and suppressed ones are counted."""

import io
import json
import logging

import pytest

from leaderboard_logs import setup
from leaderboard_logs.line_limit import MAX_AUDIT_REFUSALS, MAX_LINES, MAX_PER_CLIENT, LineLimitFilter
from tests.support.clock import Clock
from tornado_app.observability import logs


@pytest.fixture
def clock():
    return Clock(100.0)


@pytest.fixture
def passes(clock):
    limit = LineLimitFilter(clock)

    def passes(message="a request failed", level=logging.WARNING):
        record = logging.LogRecord("leaderboard.http", level, "", 0, message, (), None)
        return getattr(record, "suppressed", 0) if limit.filter(record) else None

    return passes


def test_log_lines_of_one_kind_beyond_the_rate_are_suppressed_and_counted(passes, clock):
    assert [passes() for _ in range(MAX_LINES + 5)] == [0] * MAX_LINES + [None] * 5
    assert passes("something else") == 0
    clock.now += 1
    assert [passes() for _ in range(2)] == [5, 0]


def test_update_log_lines_are_not_limited(passes):
    assert {passes(level=logging.INFO) for _ in range(10 * MAX_LINES)} == {0}


def test_audit_log_lines_are_not_limited():
    limit = LineLimitFilter()
    record = logging.LogRecord("leaderboard.audit", logging.WARNING, "", 0, "suspicious player", (), None)
    assert all(limit.filter(record) for _ in range(10 * MAX_LINES))


def refusal(caller="ann", reason="expired_token", logger="leaderboard.audit", remote="203.0.113.1"):
    record = logging.LogRecord(logger, logging.INFO, "", 0, "score update refused", (), None)
    record.__dict__.update(event="score_refused", caller=caller, remote=remote, reason=reason)
    return record


@pytest.mark.parametrize(
    ("logger", "most"), [("leaderboard.audit", MAX_AUDIT_REFUSALS), ("leaderboard.refusals", MAX_LINES)]
)
def test_audit_log_lines_of_refusals_are_limited_by_reason(clock, logger, most):
    limit = LineLimitFilter(clock)
    passed = [limit.filter(refusal(f"player-{n}", logger=logger)) for n in range(most + 7)]
    assert passed == [True] * most + [False] * 7
    assert limit.filter(refusal("player-1", "audience", logger))
    clock.now += 1
    after = refusal(logger=logger)
    assert limit.filter(after)
    assert after.suppressed == 7


@pytest.mark.parametrize("caller", ["mallory", None])
def test_log_flood_of_one_client_does_not_suppress_others(clock, caller):
    limit = LineLimitFilter(clock)
    passed = [limit.filter(refusal(caller)) for _ in range(50)]
    assert passed == [True] * MAX_PER_CLIENT + [False] * 45
    assert limit.filter(refusal("ann", remote="203.0.113.2"))


def test_service_log_reports_suppressed_lines(logging_as_before, monkeypatch, clock):
    monkeypatch.setattr(setup, "LineLimitFilter", lambda: LineLimitFilter(clock))
    stream = io.StringIO()
    logs.configure(log_format="json", stream=stream)
    for _ in range(MAX_LINES + 3):
        logging.getLogger("leaderboard.http").warning("request")
    clock.now += 1
    logging.getLogger("leaderboard.http").warning("request")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == MAX_LINES + 1
    assert lines[-1]["suppressed"] == 3
