"""Boundaries of periods, with a service whose clock is ten minutes ahead; death of the planner and of the primary."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from pymongo.database import Database

from tests.endurance.account import PERIOD
from tests.endurance.environment import Environment
from tests.endurance.faults.registry import fault
from tests.support import faketime
from tests.support.processes import alive
from tests.support.wait import wait_until

STEPS = {
    "plan or record": ("update", "leaderboard.periods"),
    "listing": ("listCollections", None),
    "rows": ("aggregate", "leaderboard.players"),
    "rename": ("renameCollection", None),
    "index": ("createIndexes", None),
    "digest": ("find", f"leaderboard.results.main.{PERIOD}.{{}}"),
}
"""The command of a step of the planner and sealer, and its collection."""

REACHED_MS = 20_000
BLOCKED_MS = 50
"""For how long the database waits with the command: the process dies before, while or after it is done."""


def clocks_apart(environment: Environment, chance: Random) -> Iterator[None]:
    """20 epochs of a second begin and end, with one service's clock ten minutes ahead"""
    yield


def kill_planner(environment: Environment, chance: Random) -> Iterator[None]:
    """kill -9 of the process that plans and seals, at a random one of its steps; its service is restarted"""
    command, collection = STEPS[chance.choice(list(STEPS))]
    with environment.database() as database:
        if collection is not None and "{}" in collection:
            collection = collection.format(_first_unsealed(database) + 2)
        _reach(environment, command, collection)
        time.sleep(chance.uniform(0, 2 * BLOCKED_MS / 1000))  # any moment will do
        pid = int(database["leases"].find_one({"_id": "periods"})["holder"].split("/")[1])
    os.kill(pid, signal.SIGKILL)
    for instance in environment.instances:
        assert instance.service.process is not None
        if instance.service.process.pid == pid:
            instance.service.process.wait()
    yield
    wait_until(lambda: not alive([pid]), what="it is gone")


def primary_at_boundary(environment: Environment, chance: Random) -> Iterator[None]:
    """kill -9 of the primary of three within 50 ms of a boundary; it comes back as a secondary"""
    primary = environment.members.wait_primary()
    with environment.database() as database:
        now = datetime.now(UTC) + timedelta(milliseconds=100)
        epoch = database["periods"].find({"end": {"$gt": now}}).sort("end", 1).next()
    moment = epoch["end"].timestamp() + chance.uniform(-0.05, 0.05)
    time.sleep(max(0.0, moment - time.time()))
    primary.kill()
    yield
    environment.members.wait_primary()
    primary.spawn()


if faketime.library() is not None:
    for strike, seconds in (
        (clocks_apart, (20.0, 20.0)),
        (kill_planner, (0.0, 3.0)),
        (primary_at_boundary, (0.0, 3.0)),
    ):
        fault("periods", seconds)(strike)


def _first_unsealed(database: Database[dict[str, Any]]) -> int:
    return int(database["periods"].find({"state": "planned"}).sort("epoch", 1).next()["epoch"])


def _reach(environment: Environment, command: str, collection: str | None) -> None:
    """Wait until a service sends this command. Source: MongoDB's fail point `failCommand`."""
    data = {"failCommands": [command], "appName": "leaderboard", "blockConnection": True, "blockTimeMS": BLOCKED_MS}
    if collection is not None:
        data["namespace"] = collection
    with environment.members.wait_primary().client() as client:
        before = client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data})
        client.admin.command(
            {"waitForFailPoint": "failCommand", "timesEntered": before["count"] + 1, "maxTimeMS": REACHED_MS}
        )
