"""Processes of the service and of MongoDB that are killed, stopped or frozen. The trial starts services again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from random import Random

from pymongo.errors import PyMongoError

from tests.endurance.environment import Environment
from tests.endurance.faults.registry import fault
from tests.support.wait import wait_until


@fault("linked")
def kill_service(environment: Environment, chance: Random) -> Iterator[None]:
    """kill -9 of one of two services; it is started again"""
    chance.choice(environment.running).service.kill()
    yield


@fault("linked")
def stop_service(environment: Environment, chance: Random) -> Iterator[None]:
    """SIGTERM to one of two services; it is started again once it has ended"""
    code = chance.choice(environment.running).service.stop()
    assert code == 0, f"it ended with {code}"
    yield


@fault("embedded", alone=True)
def kill_embedded(environment: Environment, chance: Random) -> Iterator[None]:
    """kill -9 of the embedded mongod; the service starts it again"""
    pid = environment.embedded_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    yield
    wait_until(lambda: environment.embedded_pid() not in (None, pid), 30, "another mongod runs")
    wait_until(lambda: _takes_writes(environment), 30, "it takes writes")
    environment.since = time.monotonic()


def _takes_writes(environment: Environment) -> bool:
    try:
        with environment.database() as database:
            return bool(database.command("hello")["isWritablePrimary"])
    except (PyMongoError, OSError):
        return False


@fault("three")
def kill_primary(environment: Environment, chance: Random) -> Iterator[None]:
    """kill -9 of the primary of three; it comes back as a secondary"""
    primary = environment.members.wait_primary()
    primary.kill()
    yield
    environment.members.wait_primary()
    primary.spawn()


@fault("three", (20, 20), alone=True)
def freeze_primary(environment: Environment, chance: Random) -> Iterator[None]:
    """the primary of three hangs for 20 s (SIGSTOP), holding its connections"""
    primary = environment.members.wait_primary()
    primary.freeze()
    try:
        yield
    finally:
        primary.thaw()
    environment.members.wait_healthy()


@fault("three", (8, 12), shuts=True, alone=True)
def lose_majority(environment: Environment, chance: Random) -> Iterator[None]:
    """kill -9 of both secondaries of three; they come back after about 10 s"""
    secondaries = environment.members.secondaries()
    for member in secondaries:
        member.kill()
    yield
    for member in secondaries:
        member.spawn()
    environment.members.wait_healthy()
