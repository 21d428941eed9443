"""Processes of the service and of MongoDB that are killed, stopped or frozen. The trial starts services again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from random import Random

from pymongo.errors import PyMongoError

from tests.endurance.faults.registry import fault
from tests.endurance.stage import Stage
from tests.support.wait import wait_until


@fault("linked")
def kill_service(stage: Stage, chance: Random) -> Iterator[None]:
    """kill -9 of one of two services; it is started again"""
    chance.choice(stage.running).service.kill()
    yield


@fault("linked")
def stop_service(stage: Stage, chance: Random) -> Iterator[None]:
    """SIGTERM to one of two services; it is started again once it has ended"""
    code = chance.choice(stage.running).service.stop()
    assert code == 0, f"it ended with {code}"
    yield


@fault("embedded", alone=True)
def kill_embedded(stage: Stage, chance: Random) -> Iterator[None]:
    """kill -9 of the embedded mongod; the service starts it again"""
    pid = stage.embedded_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    yield
    wait_until(lambda: stage.embedded_pid() not in (None, pid), 30, "another mongod runs")
    wait_until(lambda: _takes_writes(stage), 30, "it takes writes")
    stage.since = time.monotonic()


def _takes_writes(stage: Stage) -> bool:
    try:
        with stage.database() as database:
            return bool(database.command("hello")["isWritablePrimary"])
    except (PyMongoError, OSError):
        return False


@fault("three")
def kill_primary(stage: Stage, chance: Random) -> Iterator[None]:
    """kill -9 of the primary of three; it comes back as a secondary"""
    primary = stage.members.wait_primary()
    primary.kill()
    yield
    stage.members.wait_primary()
    primary.spawn()


@fault("three", (20, 20), alone=True)
def freeze_primary(stage: Stage, chance: Random) -> Iterator[None]:
    """the primary of three hangs for 20 s (SIGSTOP), holding its connections"""
    primary = stage.members.wait_primary()
    primary.freeze()
    try:
        yield
    finally:
        primary.thaw()
    stage.members.wait_healthy()


@fault("three", (8, 12), shuts=True, alone=True)
def lose_majority(stage: Stage, chance: Random) -> Iterator[None]:
    """kill -9 of both secondaries of three; they come back after about 10 s"""
    secondaries = stage.members.secondaries()
    for member in secondaries:
        member.kill()
    yield
    for member in secondaries:
        member.spawn()
    stage.members.wait_healthy()
