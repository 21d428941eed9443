"""The running service of tests/support/services.py."""

from tests.support.services import run_service

__all__ = ["run_service"]
