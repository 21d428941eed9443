"""Database faults: step-down, refused writes, lost history, replaced data."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from random import Random
from typing import Any

from pymongo.errors import AutoReconnect

from tests.endurance.environment import Environment
from tests.endurance.faults.registry import fault

WRITES = ("update", "findAndModify", "insert")
STEPS, STEP_SECONDS = 3, 5.0
OUT_OF_DISK_SPACE, HISTORY_LOST = 14031, 286


@fault("three")
def step_down(environment: Environment, chance: Random) -> Iterator[None]:
    """the primary of three steps down every 5 s, three times"""
    for _ in range(STEPS):
        with environment.members.wait_primary().client() as client, contextlib.suppress(AutoReconnect):
            client.admin.command("replSetStepDown", 10, secondaryCatchUpPeriodSecs=5)
        time.sleep(STEP_SECONDS)
    yield
    environment.members.wait_primary()


@contextlib.contextmanager
def _refusing(environment: Environment, commands: tuple[str, ...], code: int, mode: Any) -> Iterator[None]:
    """These commands of the services fail with this code. Source: MongoDB's fail point `failCommand`."""
    data = {"failCommands": list(commands), "appName": "leaderboard", "errorCode": code}
    with environment.members.members[0].client() as client:
        client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})
        try:
            yield
        finally:
            client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


@fault("linked", (3, 6))
def disk_full(environment: Environment, chance: Random) -> Iterator[None]:
    """every write is refused for want of disk space (fail point, code 14031)"""
    with _refusing(environment, WRITES, OUT_OF_DISK_SPACE, "alwaysOn"):
        yield


@fault("linked", (1, 2), loses="history")
def history_lost(environment: Environment, chance: Random) -> Iterator[None]:
    """the change streams' history is lost (fail point, code 286), once or more for each"""
    with _refusing(environment, ("getMore",), HISTORY_LOST, {"times": chance.randint(4, 12)}):
        yield


@fault("linked", loses="scores")
def drop_players(environment: Environment, chance: Random) -> Iterator[None]:
    """the collection of players is dropped; what is shown must be what is there"""
    with environment.database() as database:
        database.drop_collection("players")
    yield


@fault("linked", loses="scores")
def other_cluster(environment: Environment, chance: Random) -> Iterator[None]:
    """an empty MongoDB takes the place of the one there was: tokens and clocks are another's"""
    (member,) = environment.members.members
    links = [instance.proxy for instance in environment.instances if instance.proxy is not None]
    for link in links:
        link.cut()
    member.kill()
    shutil.rmtree(member.folder)
    yield
    member.start()
    environment.members.initiate()
    for link in links:  # not before: a driver that is told of one address only would keep what a mongod is until then
        link.heal()
