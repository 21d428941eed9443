"""A pytest plugin: with CI=true nothing may be skipped, as a test that did not run has shown nothing.

And what tests print may be anything, but reaches the controller only as well-formed text.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

_skipped: list[str] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Half a surrogate pair in a log line, which is tested here, would end an xdist worker."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Called for each phase of each test, on the controller for those of the workers too."""
    _note(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A whole module can be skipped while it is collected."""
    _note(report)


def _note(report: pytest.TestReport | pytest.CollectReport) -> None:
    # An expected failure counts as skipped in a report, but it did run.
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.append(report.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Turn a session that would pass into one that fails."""
    if _must_fail(session) and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the skipped tests that made the session fail."""
    if _must_fail(terminalreporter._session):
        terminalreporter.section("skipped, which CI=true does not allow", red=True)
        for name in _skipped:
            terminalreporter.line(name)


def _must_fail(session: pytest.Session | None) -> bool:
    is_worker = session is not None and hasattr(session.config, "workerinput")
    return bool(_skipped) and os.environ.get("CI") == "true" and not is_worker
