"""What is installed: each package of the tree is named in setup.cfg, and the command is there."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

from tests.support.project import ROOT


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
    command = str(Path(sys.executable).with_name("leaderboard-operator"))
    return subprocess.run([command, *arguments], capture_output=True, text=True, timeout=30)


def test_the_command_helps_and_prints_the_crd():
    assert "KUBECONFIG" in run("--help").stdout
    assert run("crd").stdout.startswith("# Made by `leaderboard-operator crd`")
    assert run("run", "--namespace", "a", "--all-namespaces").returncode == 2
