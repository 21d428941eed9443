"""Behaviour of the driver that the service needs and that is not documented."""

import asyncio
import random
from collections import Counter

import pymongo
import pytest
from pymongo.errors import AutoReconnect, OperationFailure, ServerSelectionTimeoutError
from pymongo.logger import _log_client_error

from tests.support.wait import eventually
from tornado_app.mongo.client.driver import connect
from tornado_app.mongo.embedded.mongod import free_port

SECONDS = 4.0


@pytest.mark.usefixtures("lost_sockets")
async def test_client_with_cancelled_server_selections_does_not_deadlock():
    """Without a server, and with callers cancelled at any moment, every other caller gets its error in time."""
    client = connect(f"mongodb://127.0.0.1:{free_port()}/", timeout=1.0)
    loop = asyncio.get_running_loop()
    end, outcomes = loop.time() + SECONDS, Counter()

    async def caller(number):
        dice = random.Random(number)
        while loop.time() < end:
            try:
                if number % 2:
                    with pymongo.timeout(dice.uniform(0.1, 1.0)):
                        await client.admin.command("ping")
                else:
                    async with asyncio.timeout(dice.uniform(0.0, 1.0)):
                        await client.admin.command("ping")
            except (ServerSelectionTimeoutError, TimeoutError) as error:
                outcomes[type(error)] += 1

    callers = [asyncio.ensure_future(caller(number)) for number in range(200)]
    _, hanging = await asyncio.wait(callers, timeout=SECONDS + 10)
    assert not hanging
    assert not [error for error in (task.exception() for task in callers) if error]
    assert set(outcomes) == {ServerSelectionTimeoutError, TimeoutError}
    await client.close()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (AutoReconnect("a long text with an address"), "WARNING the driver's background task failed: AutoReconnect"),
        (OperationFailure("refused", 13), "ERROR MongoClient background task encountered an error:"),
        (ValueError("a defect"), "ERROR MongoClient background task encountered an error:"),
    ],
    ids=["transient", "permanent", "defect"],
)
def test_background_error_of_the_driver_is_one_line_if_it_is_transient(caplog, error, line):
    """`_log_client_error` is what the driver calls, for example when it kills a cursor on a server that is away."""
    try:
        raise error
    except type(error):
        _log_client_error()
    (record,) = caplog.records
    assert f"{record.levelname} {record.getMessage()}" == line
    assert (record.exc_info is None) == line.startswith("WARNING")


async def test_operation_is_tried_after_long_round_trips(mongo_database):
    """The monitor measures them while a network stands still; the next measurement comes ten seconds later."""
    client = connect(f"{mongo_database[0]}&heartbeatFrequencyMS=500")
    try:
        await client.admin.command("ping")
        (server,) = client._topology._servers.values()
        measured = server._monitor._rtt_monitor
        await measured.close()  # no further measurement
        await measured.reset()  # as after an error of the network
        for _ in range(2):
            await measured.add_sample(10.0)
        before = server.description
        await eventually(lambda: server.description is not before, 10.0, "the monitor reports the round trips")
        with pymongo.timeout(2.0):
            await client.admin.command("ping")
    finally:
        await client.close()
