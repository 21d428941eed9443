"""A short run of each fuzzer; `make fuzz` has long ones."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.fuzz.targets import TARGETS
from tests.support.project import ROOT
from tests.support.requirements import missing

pytestmark = pytest.mark.long

SECONDS = os.environ.get("FUZZ_SECONDS", "10")


@pytest.mark.timeout(120 + 2 * int(SECONDS))
@pytest.mark.parametrize("target", TARGETS)
def test_fuzzing_finds_nothing(target, tmp_path):
    if find_spec("atheris") is None:
        missing("atheris is needed, which is there for Linux on x86-64: pip install atheris")
    command = [sys.executable, "-m", "tests.fuzz", target, SECONDS]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, timeout=100 + 2 * int(SECONDS), check=False
    )
    output = done.stderr.decode(errors="replace")
    assert done.returncode == 0, output[-4000:]
    assert "Done" in output
