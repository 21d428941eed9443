"""npm packages of a lock file, installed once and kept in ~/.cache/leaderboard."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support.building import cache_folder, one_at_a_time
from tests.support.requirements import missing

INSTALL_SECONDS = 500
FLAGS = ("--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund")


def packages(lock: Path, what: str, *, optional: bool = False) -> Path:
    """The folder `node_modules` of a package-lock.json, which names no place that they come from. Skips without npm.

    `optional`: with the optional ones, which hold the binaries of this machine.
    """
    for name in ("node", "npm"):
        if shutil.which(name) is None:
            missing(f"{what} needs {name}: install Node.js 20.19 or newer, with npm")
    folder = cache_folder(lock.parent.name, lock.read_text(encoding="utf-8"))
    with one_at_a_time(folder, what):
        done = folder / "done"
        if not done.exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(lock.with_name(name), folder)
            command = ["npm", "ci", *FLAGS, *(() if optional else ("--omit=optional",))]
            installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS)
            assert installed.returncode == 0, installed.stderr
            done.touch()
    return folder / "node_modules"
