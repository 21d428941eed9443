"""Services of several processes."""

import pytest

from tests.support.service import RunningService


@pytest.fixture
def start(tmp_path):
    """A function that starts services of two processes, which end with the test."""
    running = []

    def start(*flags, **options):
        service = RunningService("--processes", "2", *flags, **options)
        running.append(service)
        return service.start(tmp_path / f"log{len(running)}")

    yield start
    for service in running:
        service.close()
