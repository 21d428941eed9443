"""The running services of tests/support/services.py."""

from tests.support.services import open_service, run_service, service, twin

__all__ = ["open_service", "run_service", "service", "twin"]
