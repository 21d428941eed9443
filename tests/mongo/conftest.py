"""Embedded mongods, real and fake."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tornado_app.mongo.embedded.supervisor import EmbeddedMongod, Limits


@pytest.fixture
async def make_mongod(mongod_binary: Path, tmp_path: Path) -> AsyncIterator[Callable[..., EmbeddedMongod]]:
    """A function that creates embedded mongods on one data folder; the fixture stops them."""
    made = []

    def make(folder: Path = tmp_path / "data", **limits: float) -> EmbeddedMongod:
        made.append(EmbeddedMongod(folder, limits=Limits(**limits)))
        return made[-1]

    yield make
    for each in made:
        await each.stop()


@pytest.fixture
def fake_mongod(mongod_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A function that puts a shell script named `mongod` first on PATH; in it, $REAL is the real binary."""

    def install(script: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        path = folder / "mongod"
        path.write_text(f"#!/bin/sh\nREAL='{mongod_binary}'\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
        return path

    return install
