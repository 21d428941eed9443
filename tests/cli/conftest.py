"""Commands in an interpreter of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.project import ROOT

SLOW = {"tornado", "pymongo", "bson", "asyncio", "prometheus_client"}


@pytest.fixture
def slow_imports(tmp_path: Path) -> Callable[..., str]:
    """A function that runs a command and returns the set of slow packages that it imports, as text."""

    def run(*arguments: str) -> str:
        code = (
            f"import sys; from tornado_app.cli.main import main; main({list(arguments)});"
            f"print({SLOW} & set(sys.modules))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True, timeout=60,
            env={"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        return done.stdout.splitlines()[1]

    return run
