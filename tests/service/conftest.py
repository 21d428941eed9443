"""Services of a test's own."""

import pytest

from tests.support.service import RunningService


@pytest.fixture
def start(tmp_path):
    """Starts services that end with the test."""
    running = []

    def start(*flags, **options):
        service = RunningService(*flags, **options)
        running.append(service)
        return service.start(tmp_path / f"log{len(running)}")

    yield start
    for service in running:
        service.close()
