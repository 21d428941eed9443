"""Embedded mongods, and mongods that are none."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tornado_app.mongo.embedded.supervisor import EmbeddedMongod, Limits


@pytest.fixture
async def run(mongod_binary: Path, tmp_path: Path) -> AsyncIterator[Callable[..., EmbeddedMongod]]:
    """Makes embedded mongods, on one data folder; all are stopped in the end."""
    made = []

    def make(folder: Path = tmp_path / "data", **limits: float) -> EmbeddedMongod:
        made.append(EmbeddedMongod(folder, limits=Limits(**limits)))
        return made[-1]

    yield make
    for each in made:
        await each.stop()


@pytest.fixture
def fake_mongod(mongod_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a `mongod` first on PATH that is the given shell script, in which $REAL is the real one."""

    def install(script: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        path = folder / "mongod"
        path.write_text(f"#!/bin/sh\nREAL='{mongod_binary}'\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
        return path

    return install
