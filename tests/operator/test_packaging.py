"""What is installed: each package of the tree is named in setup.cfg, and the command is there."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from leaderboard_operator import VERSION
from tests.support.project import ROOT

COMMAND = str(Path(sys.executable).with_name("leaderboard-operator"))


def test_every_package_is_installed():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    named = set(config["options"]["packages"].split())
    roots = [ROOT / name for name in ("leaderboard_logs", "tornado_app", "operator/leaderboard_operator")]
    found = {
        ".".join(path.parent.relative_to(root.parent).parts) for root in roots for path in root.rglob("__init__.py")
    }
    assert named == found


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=30)


def test_the_command_helps_and_prints_the_crd():
    assert "KUBECONFIG" in run("--help").stdout
    assert run("crd").stdout.startswith("# Made by `leaderboard-operator crd`")
    assert run("run", "--namespace", "a", "--all-namespaces").returncode == 2


@pytest.mark.parametrize("command", ["crd", "rules", "run", "help"])
def test_help_describes_a_command_as_its_flag_does(command):
    described = run("help", command)
    assert (described.returncode, described.stdout) == (0, run(command, "--help").stdout)


def test_help_alone_lists_the_commands_and_the_exit_codes():
    text = run("help").stdout
    assert all(f"\n    {command}" in text for command in ("crd", "rules", "run", "help"))
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    codes = re.findall(r"(?m)^\| (\d+) \| .* \| [^–\n]+ \|$", page)
    assert codes == re.findall(r"(?m)^  (\d+) ", text) == ["0", "1", "2", "130"]


def test_version():
    assert run("-V").stdout == run("--version").stdout == f"leaderboard-operator {VERSION}\n"


@pytest.mark.parametrize("arguments", [(), ("crds",), ("run", "--name", "a"), ("rules", "--severity", "none")])
def test_a_wrong_command_line_is_answered_in_one_line(arguments):
    done = run(*arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: ")


def test_an_operator_without_a_cluster_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert run("run", "--health-port", "0", "--metrics-port", "0").returncode == 1


def test_a_reader_that_goes_away_is_no_traceback():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([COMMAND, "crd"], stdout=writing, stderr=subprocess.PIPE, text=True, timeout=30)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
