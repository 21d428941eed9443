"""Storage sizes of a real mongod, measured with both drivers."""

from __future__ import annotations

import pytest

from tests.support.board_harness import open_board_harness
from tests.support.drivers import BOTH_DRIVERS
from tornado_app.mongo.storage import StorageMonitor


@pytest.fixture(params=BOTH_DRIVERS)
async def harness(request, mongo_database):
    async with open_board_harness(*mongo_database, request.param) as harness:
        yield harness


@pytest.fixture
def sizes():
    return {}


@pytest.fixture
def monitor(harness, sizes):
    return StorageMonitor(harness.client, harness.name, collections=sizes.__setitem__, disk=sizes.__setitem__)


async def test_storage_monitor_measures_collections_and_disk(harness, monitor, sizes):
    await monitor.measure()
    before = dict(sizes)
    assert 0 < before["free"] < before["total"]
    ledger = harness.client[harness.name]["ledger"]
    await ledger.insert_many([{"_id": n, "text": f"{n * 7919:04000x}"} for n in range(200)])
    await harness.client.admin.command("fsync")  # MongoDB reports what the last checkpoint wrote
    await monitor.measure()
    assert sizes["ledger"] > before["ledger"]
    assert sizes["players"] == before["players"]


async def test_storage_monitor_measures_a_missing_collection_as_zero(harness, monitor, sizes):
    await harness.client[harness.name]["ledger"].drop()
    await monitor.measure()
    assert sizes["ledger"] == 0
