"""Database commands that fail on purpose, by MongoDB's fail point `failCommand`."""

import asyncio
from contextlib import asynccontextmanager

from pymongo import MongoClient

from tests.support.wait import eventually


@asynccontextmanager
async def failing_commands(replica_set, *commands, until, **how):
    """Make these commands of the service's clients fail in this way.

    `until` is a condition that ends it, or the number of commands that fail.
    """
    mode = {"times": until} if isinstance(until, int) else "alwaysOn"
    data = {"failCommands": list(commands), "appName": "leaderboard", **how}
    with MongoClient(replica_set.uri) as client:
        set_up = client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})
        try:
            yield
            if isinstance(until, int):
                wait = {"waitForFailPoint": "failCommand", "timesEntered": set_up["count"] + until, "maxTimeMS": 15_000}
                await asyncio.to_thread(client.admin.command, wait)
            else:
                await eventually(until)
        finally:
            client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
