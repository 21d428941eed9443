"""Process, files and data of an embedded MongoDB, seen from outside."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pymongo import AsyncMongoClient

from tests.support.mongod import end_with_parent

PARENT = """
import asyncio, pathlib, sys
from tornado_app.mongo.embedded.supervisor import EmbeddedMongod

async def main():
    mongod = EmbeddedMongod(pathlib.Path(sys.argv[1]))
    print(await mongod.start(), mongod.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@contextlib.contextmanager
def parent(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    """A process that runs an embedded MongoDB, with the URI and the pid of mongod."""
    command = [sys.executable, "-c", PARENT, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=end_with_parent) as process:
        try:
            assert process.stdout is not None
            uri, pid = process.stdout.readline().split()
            yield process, uri, int(pid)
        finally:
            process.kill()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def mode(path: Path) -> int:
    """The permissions of a file or folder."""
    return stat.S_IMODE(path.stat().st_mode)


def port_of(uri: str) -> int:
    return int(uri.rpartition(":")[2].partition("/")[0])


async def put(uri: str, text: str) -> None:
    """Store a note, for good."""
    async with AsyncMongoClient(uri, w="majority", journal=True) as client:
        await client["board"]["notes"].insert_one({"_id": text})


async def notes(uri: str) -> list[str]:
    """All that was `put`, sorted."""
    async with AsyncMongoClient(uri) as client:
        return [note["_id"] async for note in client["board"]["notes"].find().sort("_id")]
