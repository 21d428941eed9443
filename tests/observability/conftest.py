"""Logging that is set up for one test and as it was after it."""

import io
import logging
from collections.abc import Iterator

import pytest

from tornado_app.observability import logs


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """`configure` is for a whole process; give the test run its own logging back."""
    root, ours = logging.getLogger(), logging.getLogger("leaderboard")
    access = logging.getLogger(logs.ACCESS)
    before = root.handlers[:], root.level, ours.level, access.level
    flags = logging.logThreads, logging.logProcesses, logging.logMultiprocessing
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    access.setLevel(before[3])
    logging.logThreads, logging.logProcesses, logging.logMultiprocessing = flags
    logging.captureWarnings(capture=False)


@pytest.fixture
def stream(logging_as_before: None) -> io.StringIO:
    stream = io.StringIO()
    logs.configure("debug", "json", stream)
    return stream


@pytest.fixture
def text(logging_as_before: None) -> io.StringIO:
    stream = io.StringIO()
    logs.configure("debug", "text", stream)
    return stream
