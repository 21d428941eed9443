"""The client's unit tests, which are JavaScript: each file in a run of Node.js's own test runner."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.clients.js.toolchain import SECONDS, node

FILES = sorted((Path(__file__).parent / "unit").glob("*.test.mjs"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.partition(".")[0])
def test_javascript_unit_tests_pass(file: Path) -> None:
    command = [node(), "--experimental-vm-modules", "--test", "--test-reporter=spec", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stdout
    assert "ℹ pass 0\n" not in done.stdout
