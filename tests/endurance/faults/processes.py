"""Processes of the service and of MongoDB that are killed, stopped or frozen."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from pymongo.errors import PyMongoError

from tests.endurance.faults.registry import fault
from tests.endurance.stage import Stage
from tests.support.wait import wait_until
from tornado_app.mongo.embedded import STABLE_SECONDS

START = 3.0
"""Seconds that a mongod has to start before it counts as running."""


@fault("linked")
def kill_service(stage: Stage, chance: Random) -> Iterator[None]:
    """kill -9 of one of two services; it is started again"""
    place = chance.choice(stage.running)
    place.service.kill()
    yield
    place.start()


@fault("linked")
def stop_service(stage: Stage, chance: Random) -> Iterator[None]:
    """SIGTERM to one of two services; it is started again once it has ended"""
    place = chance.choice(stage.running)
    code = place.service.stop()
    assert code == 0, f"it ended with {code}"
    yield
    place.start()


@fault("embedded", alone=True)
def kill_embedded(stage: Stage, chance: Random) -> Iterator[None]:
    """kill -9 of the embedded mongod; the service starts it again"""
    pid = stage.embedded_pid()
    assert pid is not None
    wait_until(lambda: _age(pid) > STABLE_SECONDS + START, what="it has run long enough not to be given up")
    os.kill(pid, signal.SIGKILL)
    yield
    wait_until(lambda: stage.embedded_pid() not in (None, pid), 30, "another mongod runs")
    wait_until(lambda: _takes_writes(stage), 30, "it takes writes")


def _age(pid: int) -> float:
    """Seconds since a process was started. Source: proc(5), field 22 of stat."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


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
