"""Shared code of the builds of the tests' programs: cache folder, lock, messages."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GO = (1, 26)


class BuildError(Exception):
    """A build failed; the message is the compiler's."""


class NotBuiltError(Exception):
    """A program is missing; the message is how to get it."""


def go_version(folder: Path) -> str | None:
    """What `go env GOVERSION` prints in a folder; None where there is no Go, or one that is too old."""
    if shutil.which("go") is None:
        return None
    asked = subprocess.run(["go", "env", "GOVERSION"], cwd=folder, capture_output=True, text=True)
    found = re.match(r"go(\d+)\.(\d+)", asked.stdout)
    return asked.stdout if found and (int(found[1]), int(found[2])) >= GO else None


def cache_folder(what: str, *made_of: str) -> Path:
    """The folder that keeps what is built of these texts: versions, flags, lock files."""
    digest = hashlib.sha256()
    for text in made_of:
        digest.update(text.encode())
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "leaderboard" / what / digest.hexdigest()[:16]


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


@contextmanager
def one_at_a_time(folder: Path, what: str) -> Iterator[None]:
    """Hold a folder's lock, and first remove what an interrupted build left behind in it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Waiting for another build of {what}")
            fcntl.flock(file, fcntl.LOCK_EX)
        for leftover in folder.glob(".building-*"):
            shutil.rmtree(leftover)
        yield
