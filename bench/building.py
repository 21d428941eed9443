"""Go programs of the benchmarks, each built once into the user's cache."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

from bench.processes import Failed, Missing

CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "leaderboard"


def go(*arguments: str, folder: Path, needed_for: str) -> str:
    """The output of a `go` command in a folder. Raises Missing without a Go compiler, Failed with its error."""
    program = shutil.which("go")
    if program is None:
        raise Missing(f"{needed_for} needs a Go compiler: apt-get install golang-go, or go.dev/dl")
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOWORK": "off"}
    done = subprocess.run([program, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{needed_for} cannot be built:\n{done.stderr.strip()[-2000:]}")
    return done.stdout


def build(program: Path, source: Path, *flags: str, needed_for: str) -> None:
    """Build the package in the folder `source`, unless `program` exists. Safe to run twice at the same time."""
    program.parent.mkdir(parents=True, exist_ok=True)
    with (program.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if program.exists():
            return
        draft = program.with_name(f"{program.name}.{os.getpid()}")
        go("build", "-trimpath", *flags, "-o", str(draft), ".", folder=source, needed_for=needed_for)
        draft.rename(program)
