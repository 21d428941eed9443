"""Where a test reads what was logged."""

import io

import pytest

from tornado_app.observability import logs


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
