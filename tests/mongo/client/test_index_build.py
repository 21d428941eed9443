"""The service waits for an index build as long as the server works on it, and logs its progress."""

import asyncio
import urllib.request
from contextlib import contextmanager

import pytest
from pymongo.errors import OperationFailure

from tests.support.drivers import BOTH_DRIVERS
from tests.support.service import RunningService
from tests.support.wait import eventually, wait_until
from tornado_app.core.errors import StartupError
from tornado_app.mongo.client import index_build
from tornado_app.mongo.client.driver import connect, maybe_await
from tornado_app.mongo.client.index_build import Waiting
from tornado_app.mongo.embedded.mongod import free_port
from tornado_app.mongo.players import indexes

pytestmark = pytest.mark.long

HANG = "hangAfterStartingIndexBuild"


@contextmanager
def hanging(member):
    """Index builds start and hang, by MongoDB's fail point `hangAfterStartingIndexBuild`."""
    with member.client() as client:
        client.admin.command({"configureFailPoint": HANG, "mode": "alwaysOn"})
        try:
            yield
        finally:
            client.admin.command({"configureFailPoint": HANG, "mode": "off"})


OFTEN = Waiting(interval=0.1)


@pytest.fixture
async def client(request, own_replica_set):
    client = connect(own_replica_set.uri, getattr(request, "param", "pymongo"))
    await client["board"]["players"].insert_many([{"_id": str(n), "score": n} for n in range(100)])
    yield client
    await maybe_await(client.close())


@pytest.mark.parametrize("client", BOTH_DRIVERS, indirect=True)
async def test_long_index_build_is_awaited_and_logged(client, own_replica_set, caplog):
    caplog.set_level("INFO")
    with hanging(own_replica_set.members[0]):
        ensuring = asyncio.ensure_future(indexes.ensure(client, "board", waiting=OFTEN))
        await eventually(lambda: caplog.text.count("the server builds an index of board.players") > 2)
        assert not ensuring.done()
    await ensuring
    assert set(await client["board"]["players"].index_information()) == {"_id_", "board", "hidden", "copying"}


async def test_second_process_waits_for_the_same_index_build(client, own_replica_set, caplog):
    caplog.set_level("INFO")
    with hanging(own_replica_set.members[0]):
        both = [asyncio.ensure_future(indexes.ensure(client, "board", waiting=OFTEN)) for _ in range(2)]
        await eventually(lambda: caplog.text.count("the server builds") > 4)
    await asyncio.gather(*both)


async def test_index_build_continues_after_a_killed_primary_restarts(client, own_replica_set, caplog):
    member = own_replica_set.members[0]
    with member.client() as direct:
        direct.admin.command({"configureFailPoint": HANG, "mode": "alwaysOn"})
    ensuring = asyncio.ensure_future(indexes.ensure(client, "board", waiting=OFTEN))
    caplog.set_level("INFO")
    await eventually(lambda: "the server builds" in caplog.text)
    await asyncio.to_thread(member.kill)
    await eventually(lambda: "still waiting for the index" in caplog.text)
    member.spawn()
    await asyncio.to_thread(member.wait)
    await ensuring
    assert "board" in await client["board"]["players"].index_information()


async def test_index_build_fails_when_the_server_stays_unreachable(client, own_replica_set, caplog):
    await client["board"]["players"].find_one({})
    own_replica_set.members[0].freeze()
    try:
        with pytest.raises(StartupError, match=r"the indexes of board\.players cannot be created"):
            await indexes.ensure(client, "board", waiting=Waiting(interval=0.1, call=0.3, silence=1.0))
    finally:
        own_replica_set.members[0].thaw()


async def test_index_build_that_the_server_refuses_is_not_retried(client):
    with pytest.raises(OperationFailure):
        await index_build.make_index(client["board"]["players"], [("score", "no such kind")])


async def test_index_build_is_awaited_without_the_right_to_see_operations(monkeypatch, client, own_replica_set, caplog):
    caplog.set_level("INFO")

    async def refused(*stages, **options):
        raise OperationFailure("not authorized on admin to execute command", 13)

    players = client["board"]["players"]
    monkeypatch.setattr(type(players.database.client.admin), "aggregate", refused)
    with hanging(own_replica_set.members[0]):
        making = asyncio.ensure_future(index_build.make_index(players, [("score", 1)], name="some", waiting=OFTEN))
        await eventually(lambda: "whose progress this user may not read" in caplog.text)
    await making


@pytest.mark.parametrize("processes", ["1", "2"])
def test_service_waiting_for_an_index_is_alive_and_not_ready(own_replica_set, tmp_path, processes):
    port = free_port()
    with own_replica_set.members[0].client() as client:
        client["leaderboard"]["players"].insert_one({"_id": "ann", "score": 5})
    service = RunningService("--processes", processes, "--metrics-port", str(port), uri=own_replica_set.uri)
    with hanging(own_replica_set.members[0]):
        service.start_only(tmp_path / "log")
        service.metrics_url = f"http://127.0.0.1:{port}/metrics"
        wait_until(lambda: "the server builds an index" in service.log, 30, "the build is reported")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            assert answer.status == 200
        status, reasons = service.readiness()
        assert (status, reasons) == (503, ["starting"] if processes == "1" else ["not all processes run"])
    service.wait_ready()
    try:
        wait_until(lambda: service.readiness()[0] == 200, 30, "it is ready")
    finally:
        service.close()
