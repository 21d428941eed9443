"""Makes a mongod that has just started a writable replica set of one, with the service's user in it.

It logs in as the internal user `__system`, whose password is the key file. So mongod's localhost exception can be off,
and no other user of the machine can create the first user.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pymongo
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

from tornado_app.mongo.embedded.data_dir import USER
from tornado_app.mongo.embedded.mongod import REPLICA_SET

POLL = 0.02
"""Seconds between two checks."""

ROLES = ("readWriteAnyDatabase", "dbAdminAnyDatabase", "clusterMonitor")
"""Roles for the service and its operator's tools; none that changes users or the replica set."""

_NOT_INITIATED = 94
_USER_NOT_FOUND = 11


async def make_writable(port: int, key: str, password: str, *, deadline: float) -> None:
    """Return when the mongod at `port` accepts writes, and `USER` with `password`.

    Refused commands are repeated until the loop's clock passes `deadline`: TimeoutError, with the last error.
    """
    loop = asyncio.get_running_loop()
    await _listening(port, deadline)
    client = _client(port, key)
    try:
        while True:
            try:
                if await _step(client.admin, port, password):
                    return
                obstacle = "it is not yet primary"
            except PyMongoError as error:
                obstacle = str(error)
            if loop.time() > deadline:
                raise TimeoutError(obstacle)
            await asyncio.sleep(POLL)
    finally:
        await client.close()


def _client(port: int, key: str) -> AsyncMongoClient[dict[str, Any]]:
    return AsyncMongoClient(
        "127.0.0.1",
        port,
        directConnection=True,
        username="__system",
        password=key,
        authSource="local",
        authMechanism="SCRAM-SHA-256",
        serverSelectionTimeoutMS=1000,
    )


async def _listening(port: int, deadline: float) -> None:
    """Wait until the port accepts connections; the driver would check only twice a second."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError as error:
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"port {port}: {error.strerror or error}") from error
            await asyncio.sleep(POLL)
            continue
        writer.close()
        with contextlib.suppress(OSError):  # only the connection matters
            await writer.wait_closed()
        return


async def _step(admin: Any, port: int, password: str) -> bool:
    """One step towards a writable set; True when it is writable."""
    with pymongo.timeout(5):
        await _ensure_member(admin, f"127.0.0.1:{port}")
        if not (await admin.command("hello"))["isWritablePrimary"]:
            return False
        await _ensure_user(admin, password)
        return True


async def _ensure_member(admin: Any, here: str) -> None:
    """Ensure a set with the one member `here`: create it, or update the address of its member."""
    try:
        config = (await admin.command("replSetGetConfig"))["config"]
    except OperationFailure as error:
        if error.code != _NOT_INITIATED:
            raise
        members = [{"_id": 0, "host": here}]
        await admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
        return
    if config["members"][0]["host"] != here:  # the previous port was not free
        config["members"][0]["host"] = here
        config["version"] += 1
        await admin.command("replSetReconfig", config, force=True)


async def _ensure_user(admin: Any, password: str) -> None:
    user = {"pwd": password, "roles": list(ROLES)}
    try:
        await admin.command("updateUser", USER, **user)
    except OperationFailure as error:
        if error.code != _USER_NOT_FOUND:
            raise
        await admin.command("createUser", USER, **user)
