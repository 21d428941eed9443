"""Board and ledger in a second whose increments no board version contains, on a real mongod."""

import time

import pytest
from bson import Int64, Timestamp
from pymongo import MongoClient

from tests.support.board_harness import open_board_harness
from tests.support.ledger import chains
from tests.support.ledger_harness import moderation_request, open_ledger_harness
from tornado_app.core.ledger import ERASURES
from tornado_app.core.versions import excess_increment, to_board_version
from tornado_app.mongo.ledger.audit import LedgerScan

PATIENCE = 30.0


@pytest.fixture
def set_back(own_replica_set):
    """The URI of a mongod whose clock is an hour behind the cluster time: only the increment counts."""
    ahead = {
        "clusterTime": Timestamp(int(time.time()) + 3600, 2**21),
        "signature": {"hash": bytes(20), "keyId": Int64(0)},
    }
    with MongoClient(own_replica_set.uri) as client, client.start_session() as session:
        session.advance_cluster_time(ahead)
        client["any"]["other"].insert_one({}, session=session)
    return own_replica_set.uri


@pytest.mark.parametrize("relay", [False, True], ids=["own", "relay"])
async def test_board_follows_after_the_databases_clock_was_set_back(set_back, relay):
    async with open_board_harness(set_back, "board", relay=relay) as harness:
        receipts = [await harness.score("alice", points) for points in (5, 3, 2)]
        await harness.wait_consistent()
        versions = [change.version for change in harness.board.changes]
        assert versions == sorted(set(versions))
        assert len({to_board_version(version) for version in versions}) == 1
        assert await harness.board.wait_until_shown(receipts[-1].version, PATIENCE)
        assert harness.restarts == []


async def test_ledger_records_each_event_after_the_databases_clock_was_set_back(set_back):
    """Also those that a second writer reads again, or that follow a comparison or an erasure."""
    async with open_ledger_harness(set_back, "board") as harness:
        await harness.score("bob", 1)
        writer = await harness.start_writer()
        begin = {"resume_token": harness.sync["leases"].find_one()["resume_token"]}
        for points in (5, 7):
            await harness.score("bob", points)
            await harness.score("alice", points)
        await harness.wait_complete()
        await harness.crash(writer)
        harness.sync["leases"].update_one({}, {"$set": begin})
        await harness.moderation.erase(moderation_request("alice"))
        await harness.score("alice", 3)
        await harness.start_writer()
        await harness.wait_complete()
        found = chains(harness.sync)
        assert [entry["kind"] for entry in found["bob"]] == ["opening", "action", "action"]
        assert [entry["points"] for entry in found["alice"]] == [3]
        assert len(found[ERASURES]) == 1
        entries = [entry for chain in found.values() for entry in chain]
        assert len({entry["version"] for entry in entries}) == 1
        assert len({entry["increment"] for entry in entries}) == len(entries)
        scan = LedgerScan(harness.client[harness.name])
        assert excess_increment(await scan.moment()) > max(entry["increment"] for entry in entries)
