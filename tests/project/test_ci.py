"""What builds and checks the project: pinned versions, no skipped test in CI, and which tests are long."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from configparser import ConfigParser

import pytest

from tests.support import selection
from tests.support.project import ROOT, normal, pinned


def required() -> set[str]:
    setup = ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    texts = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    return {normal(re.match(r"[\w.-]+", line)[0]) for line in lines if line and not line.startswith("%")}


def test_requirements_are_pinned_to_one_version():
    assert required() - set(pinned()) == set()
    assert all(re.fullmatch(r"[0-9][\w.!+]*", version) for version in pinned().values())


def test_pinned_requirements_have_no_url():
    assert not re.search(r"://|@|--", (ROOT / "constraints.txt").read_text(encoding="utf-8").partition("\n\n")[2])


@pytest.fixture
def outcome(tmp_path):
    """Runs a file of tests under the plugin; the exit code and what was printed."""

    def run(source: str, *options: str, ci: str | None = "true") -> tuple[int, str]:
        (tmp_path / "test_one.py").write_text(source, encoding="utf-8")
        environment = {name: text for name, text in os.environ.items() if name != "CI" and "PYTEST" not in name}
        environment |= {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | (
            {} if ci is None else {"CI": ci}
        )
        plugins = ["-p", "tests.support.ci", "-p", "tests.support.selection", "-p", "xdist"]
        command = [sys.executable, "-m", "pytest", *plugins, *options]
        done = subprocess.run(
            [*command, "test_one.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        )
        return done.returncode, done.stdout

    return run


SKIPPED = """
import pytest

def test_passes(): pass

@pytest.mark.xfail
def test_expected(): assert False

@pytest.mark.skip(reason="no mongod")
def test_skipped(): pass
"""


def test_skipped_test_fails_in_ci_only(outcome):
    code, text = outcome(SKIPPED)
    assert code == 1
    assert "test_one.py::test_skipped" in text
    assert "test_expected" not in text
    assert outcome(SKIPPED, ci=None)[0] == 0
    assert outcome(SKIPPED.rpartition("@")[0])[0] == 0


def test_skipped_test_fails_in_ci_with_xdist_and_in_a_skipped_module(outcome):
    assert outcome(SKIPPED, "--numprocesses", "2")[0] == 1
    code, text = outcome("import pytest\npytest.importorskip('no_such_module')\ndef test_one(): pass\n")
    assert code != 0
    assert "test_one.py" in text


def test_invalid_text_in_a_log_does_not_end_an_xdist_worker(outcome):
    code, text = outcome("import logging\ndef test_one(): logging.error('\\ud800')\n", "--numprocesses", "1")
    assert (code, "1 passed" in text) == (0, True)


LONG = """
import pytest

@pytest.fixture
def cluster(): pass

@pytest.fixture
def operator(cluster): pass

def test_on_a_control_plane(operator): pass

@pytest.mark.node
def test_on_a_node(): pass

def test_short(): pass
"""


def test_test_with_a_control_plane_or_a_target_of_its_own_is_long(outcome):
    code, text = outcome(LONG, "-m", "not long", "-v")
    assert (code, re.findall(r"::(\w+) PASSED", text)) == (0, ["test_short"])


def test_selected_folders_and_modules_exist_and_markers_have_targets():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in selection.LONG_FOLDERS:
        assert list((selection.TESTS / name).rglob("test_*.py")), name
    for name in selection.FIRST:
        assert (selection.TESTS / name).is_file(), name
    rest = " and ".join(["long", *(f"not {name}" for name in selection.SEPARATE)])
    assert f'-m "{rest}"' in makefile
    for name in selection.SEPARATE:
        assert re.search(rf"^test-\w+: .*\n(?:\t.*\n)*\t.* -m {name} ", makefile, re.MULTILINE), name
