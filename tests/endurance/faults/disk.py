"""A real full disk: a small file system in a mount namespace. Needs root."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

from pymongo.errors import PyMongoError

from tests.endurance.environment import Environment
from tests.endurance.faults.registry import fault
from tests.support.mongod import Mongod
from tests.support.wait import wait_until

ROOM = 64 * 2**20
"""Bytes that are free on the small disk before it is filled."""

STEP = 2**16
CLONE_NEWNS = 0x20000
"""Source: unshare(2)."""


def full_disk(environment: Environment, chance: Random) -> Iterator[None]:
    """the disk under MongoDB is full to the last byte, which ends mongod at its next checkpoint (as root)"""
    (member,) = environment.members.members
    with _little_room(member):
        environment.members.wait_primary()
        ballast = member.folder / "ballast"
        _fill(ballast)
        wait_until(lambda: _ended_by_a_checkpoint(member), 30, "the full disk ends mongod")
        yield
        ballast.unlink()
        member.stop()
        member.start()
        environment.members.wait_primary()
    environment.members.wait_primary()


if sys.platform == "linux" and os.geteuid() == 0:
    fault("linked", (3, 6), shuts=True, alone=True)(full_disk)


@contextlib.contextmanager
def _little_room(member: Mongod) -> Iterator[None]:
    """It runs on a disk with little room, and afterwards where it was before."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "no mount namespace of its own")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    member.kill()
    used = sum(path.stat().st_size for path in member.folder.rglob("*") if path.is_file())
    _exchange(member.folder, "mount", "-t", "tmpfs", "-o", f"size={used + ROOM}", "tmpfs")
    try:
        member.start()
        yield
    finally:
        member.stop()
        _exchange(member.folder, "umount")
        member.start()


def _exchange(folder: Path, *command: str) -> None:
    """Mount or unmount something on the folder, which keeps what is in it."""
    with tempfile.TemporaryDirectory() as kept:
        shutil.copytree(folder, kept, dirs_exist_ok=True)
        subprocess.run([*command, str(folder)], check=True)
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(kept, folder, dirs_exist_ok=True)


def _fill(ballast: Path) -> None:
    """Write until nothing more fits, byte by byte at last."""
    with ballast.open("wb", buffering=0) as file:
        for size in (STEP, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


def _ended_by_a_checkpoint(member: Mongod) -> bool:
    """Ask for a checkpoint, which needs room; whether mongod has ended, as it does where it cannot write."""
    assert member.process is not None
    if member.process.poll() is not None:
        return True
    with contextlib.suppress(PyMongoError), member.client() as client:
        client.admin.command("fsync")
    return False
