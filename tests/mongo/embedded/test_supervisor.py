"""The embedded MongoDB on a real mongod: start, restart, access and files."""

import asyncio
import sys

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from tests.support.drivers import DRIVERS
from tests.support.embedded import alive, mode, notes, port_of, put
from tests.support.wait import eventually
from tornado_app.mongo.client.driver import connect, maybe_await

# -- start and stop --------------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", DRIVERS)
async def test_embedded_mongod_accepts_writes_and_has_change_streams(make_mongod, driver):
    client = connect(await make_mongod().start(), driver)
    try:
        players = client["board"]["players"]
        stream = await maybe_await(players.watch(max_await_time_ms=100))
        assert await stream.try_next() is None
        await players.insert_one({"_id": "alice"})
        change = await eventually(stream.try_next, what="the change arrives")
        assert change["documentKey"] == {"_id": "alice"}
        await maybe_await(stream.close())
    finally:
        await maybe_await(client.close())


async def test_embedded_mongod_keeps_data_and_address_over_a_restart(make_mongod):
    first = make_mongod()
    uri = await first.start()
    await put(uri, "kept")
    pid = first.pid
    await first.stop()
    assert not alive(pid)
    assert await make_mongod().start() == uri
    assert await notes(uri) == ["kept"]


async def test_embedded_mongod_with_its_port_in_use_starts_on_another(make_mongod, caplog):
    first = make_mongod()
    uri = await first.start()
    await put(uri, "kept")
    await first.stop()
    async with await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port_of(uri)):
        other = await make_mongod().start()
        assert port_of(other) != port_of(uri)
        await put(other, "more")
        assert await notes(other) == ["kept", "more"]
    assert "the previous port is in use" in caplog.text


async def test_embedded_mongod_stop_cleans_up_and_is_idempotent(make_mongod, tmp_path):
    mongod = make_mongod()
    await mongod.start()
    await mongod.stop()
    await mongod.stop()
    assert not (tmp_path / "data" / "mongodb.uri").exists()
    assert mongod.failed.cancelled()
    await make_mongod().start()


# -- access ---------------------------------------------------------------------------------------------


async def test_embedded_mongod_refuses_clients_without_credentials(make_mongod):
    uri = await make_mongod().start()
    address = uri.rpartition("@")[2]
    async with AsyncMongoClient(f"mongodb://{address}") as stranger:
        for attempt in (
            lambda: stranger["board"]["players"].update_one({"_id": "eve"}, {"$inc": {"score": 1}}, upsert=True),
            lambda: stranger["board"]["players"].find_one(),
            lambda: stranger.admin.command("createUser", "eve", pwd="eve", roles=["root"]),
            lambda: stranger.admin.command("shutdown", force=True),
        ):
            with pytest.raises(OperationFailure) as refused:
                await attempt()
            assert refused.value.code == 13


async def test_embedded_mongod_refuses_admin_commands_of_the_service(make_mongod):
    async with AsyncMongoClient(await make_mongod().start()) as client:
        for command in ({"createUser": "x", "pwd": "x", "roles": []}, {"replSetStepDown": 1}, {"shutdown": 1}):
            with pytest.raises(OperationFailure) as refused:
                await client.admin.command(command)
            assert refused.value.code == 13


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 is no loopback address")
async def test_embedded_mongod_listens_on_one_loopback_address(make_mongod):
    uri = await make_mongod().start()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.2", port_of(uri))


async def test_embedded_mongod_files_are_private_to_their_owner(make_mongod, tmp_path):
    home = tmp_path / "new" / "data"
    uri = await make_mongod(home).start()
    assert (home / "mongodb.uri").read_text() == uri
    assert mode(home) == mode(home / "mongodb") == 0o700
    assert mode(home / "mongod.key") == 0o400
    for path in home.iterdir():
        assert mode(path) & 0o077 == 0, path


async def test_embedded_mongod_password_is_not_in_logs_or_flags(make_mongod, tmp_path, caplog):
    caplog.set_level("DEBUG", "leaderboard")
    mongod = make_mongod()
    uri = await mongod.start()
    await put(uri, "x")
    password = uri.split(":")[2].partition("@")[0]
    key = (tmp_path / "data" / "mongod.key").read_text().strip()
    logged = caplog.text + (tmp_path / "data" / "mongod.log").read_text()  # mongod logs its flags, too
    assert "keyFile" in logged
    assert len(password) == 48
    assert password not in logged
    assert key not in logged


async def test_embedded_mongod_without_its_key_file_creates_one_and_keeps_data(make_mongod, tmp_path):
    first = make_mongod()
    await put(await first.start(), "kept")
    await first.stop()
    (tmp_path / "data" / "mongod.key").unlink()
    assert await notes(await make_mongod().start()) == ["kept"]
