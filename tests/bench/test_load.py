"""The load generator's own tests, and its figures."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from bench.generator import SOURCE, Generator
from bench.processes import Cores, Failed
from tests.support.requirements import missing

BUILD_SECONDS = 110


@pytest.fixture(scope="module")
def go():
    found = shutil.which("go")
    if found is None:
        missing("the load generator needs a Go compiler: apt-get install golang-go, or go.dev/dl")
    return found


@pytest.mark.parametrize("command", [("vet", "./..."), ("test", "./...")])
def test_go_tests_of_the_load_generator_pass(go, command):
    done = subprocess.run([go, *command], cwd=SOURCE, capture_output=True, text=True, timeout=BUILD_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_go_code_is_formatted(go):
    done = subprocess.run(["gofmt", "-l", "."], cwd=SOURCE, capture_output=True, text=True, timeout=BUILD_SECONDS)
    assert (done.returncode, done.stdout) == (0, "")


def test_load_generator_without_go_names_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("bench.generator.CACHE", tmp_path)
    with pytest.raises(Failed, match="golang-go"):
        Generator.build(Cores.of_this_machine().generator)
