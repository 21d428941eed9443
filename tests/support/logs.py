"""A pytest plugin: logging that is set up for one test and as it was after it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

CONFIGURED = ("", "leaderboard", "leaderboard.access", "leaderboard_operator", "kopf", "kopf.objects")


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """`configure` is for a whole process; give the test run its own logging back."""
    loggers = [logging.getLogger(name) for name in CONFIGURED]
    before = [(each, each.handlers[:], each.filters[:], each.level) for each in loggers]
    flags = logging.logThreads, logging.logProcesses, logging.logMultiprocessing
    yield
    for each, handlers, filters, level in before:
        each.handlers[:], each.filters[:] = handlers, filters
        each.setLevel(level)
    logging.logThreads, logging.logProcesses, logging.logMultiprocessing = flags
    logging.captureWarnings(capture=False)
