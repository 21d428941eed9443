"""Programs that tests need and a machine may lack."""

from __future__ import annotations

import os

import pytest


def missing(reason: str) -> None:
    """Skip the test; with CI=true fail it. `reason` names what to install."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
