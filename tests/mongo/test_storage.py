"""Storage is measured on a real mongod, by both drivers."""

from __future__ import annotations

import pytest

from tests.mongo.live import running
from tests.support.drivers import BOTH_DRIVERS
from tornado_app.mongo.storage import StorageMonitor


@pytest.fixture(params=BOTH_DRIVERS)
async def live(request, mongo_database):
    async with running(*mongo_database, request.param) as live:
        yield live


@pytest.fixture
def sizes():
    return {}


@pytest.fixture
def monitor(live, sizes):
    return StorageMonitor(live.client, live.name, collections=sizes.__setitem__, disk=sizes.__setitem__)


async def test_storage_monitor_measures_collections_and_disk(live, monitor, sizes):
    await monitor.measure()
    before = dict(sizes)
    assert 0 < before["free"] < before["total"]
    ledger = live.client[live.name]["ledger"]
    await ledger.insert_many([{"_id": n, "text": f"{n * 7919:04000x}"} for n in range(200)])
    await live.client.admin.command("fsync")  # MongoDB reports what the last checkpoint wrote
    await monitor.measure()
    assert sizes["ledger"] > before["ledger"]
    assert sizes["players"] == before["players"]


async def test_storage_monitor_measures_a_missing_collection_as_zero(live, monitor, sizes):
    await live.client[live.name]["ledger"].drop()
    await monitor.measure()
    assert sizes["ledger"] == 0
