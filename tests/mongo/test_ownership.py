"""The owner of a database is recorded in it: claims are atomic, and only the owner drops the service's collections."""

from __future__ import annotations

import asyncio

import pytest
from pymongo import AsyncMongoClient, MongoClient

from tests.support.service import RunningService
from tests.support.wait import wait_until
from tornado_app.cli import database as command
from tornado_app.cli.main import main
from tornado_app.core.errors import StartupError
from tornado_app.core.model import Owner
from tornado_app.mongo import ownership
from tornado_app.mongo.ownership import COLLECTIONS, METADATA, ForeignDatabase

GAMES = Owner("games", "arcade", "uid-1")
AGAIN = Owner("games", "arcade", "uid-2")
RIVAL = Owner("rivals", "arcade", "uid-3")


@pytest.fixture
async def database(mongo_database):
    """A client, and the name of an empty database."""
    uri, name = mongo_database
    async with AsyncMongoClient(uri) as client:
        yield client, name


async def test_claim_by_the_first_installation_is_recorded(database):
    client, name = database
    await ownership.claim(*database, GAMES)
    document = await client[name][METADATA].find_one({})
    assert document == {"_id": "owner", "namespace": "games", "name": "arcade", "uid": "uid-1"}
    assert await ownership.read(*database) == GAMES


async def test_claim_by_another_installation_is_refused(database):
    await ownership.claim(*database, GAMES)
    with pytest.raises(ForeignDatabase, match=r"belongs to games/arcade, and not to rivals/arcade.*previous_owner"):
        await ownership.claim(*database, RIVAL)
    assert await ownership.read(*database) == GAMES


async def test_claim_by_the_same_name_with_a_new_uid_takes_the_database_back(database):
    await ownership.claim(*database, GAMES)
    await ownership.claim(*database, AGAIN)
    assert await ownership.read(*database) == AGAIN


@pytest.mark.parametrize(
    ("previous", "taken"), [("games/arcade", True), ("games/other", False), ("other/arcade", False)]
)
async def test_claim_with_a_previous_owner_takes_over_from_it_alone(database, previous, taken):
    await ownership.claim(*database, GAMES)
    if taken:
        await ownership.claim(*database, RIVAL, previous=previous)
    else:
        with pytest.raises(ForeignDatabase):
            await ownership.claim(*database, RIVAL, previous=previous)
    assert await ownership.read(*database) == (RIVAL if taken else GAMES)


async def test_owners_that_name_each_other_do_not_swap_the_database(database):
    await ownership.claim(*database, GAMES, previous="rivals/arcade")
    await ownership.claim(*database, RIVAL, previous="games/arcade")
    with pytest.raises(ForeignDatabase, match=r"belongs to rivals/arcade, and not to games/arcade, which it was taken"):
        await ownership.claim(*database, GAMES, previous="rivals/arcade")
    await ownership.claim(*database, RIVAL, previous="games/arcade")
    assert await ownership.read(*database) == RIVAL
    await ownership.claim(*database, AGAIN, previous="rivals/arcade")
    assert await ownership.read(*database) == AGAIN, "created again, it takes the database back"
    with pytest.raises(ForeignDatabase):
        await ownership.claim(*database, RIVAL, previous="games/arcade")


async def test_concurrent_takeovers_have_one_winner(database):
    await ownership.claim(*database, GAMES)
    owners = [Owner("games", f"board-{n % 4}", f"uid-{n % 4}") for n in range(32)]
    claims = (ownership.claim(*database, each, previous="games/arcade") for each in owners)
    results = await asyncio.gather(*claims, return_exceptions=True)
    winner = await ownership.read(*database)
    assert {str(owner) for owner, result in zip(owners, results, strict=True) if result is None} == {str(winner)}
    assert sum(result is None for result in results) == 8


async def test_concurrent_claims_have_one_winner(database):
    owners = [Owner("games", f"board-{n % 4}", f"uid-{n}") for n in range(32)]
    results = await asyncio.gather(*(ownership.claim(*database, each) for each in owners), return_exceptions=True)
    winner = await ownership.read(*database)
    won = {str(owner) for owner, result in zip(owners, results, strict=True) if result is None}
    assert won == {str(winner)}
    assert sum(result is None for result in results) == 8
    assert {type(result) for result in results} == {type(None), ForeignDatabase}


async def filled(database) -> None:
    client, name = database
    results = ("results.main.weekly.1", "results.kart-2.season.12", "results.main.weekly.2.unfinished-0a1b2c3d")
    for each in ("players", "players.kart", *COLLECTIONS, *results):
        await client[name][each].insert_one({"_id": "a"})


async def test_drop_by_the_owner_takes_the_whole_database(database):
    client, name = database
    await ownership.claim(*database, GAMES)
    await filled(database)
    assert await ownership.drop(*database, GAMES) == []
    assert name not in await client.list_database_names()
    assert await ownership.drop(*database, GAMES) == [], "a repeated drop succeeds"


async def test_drop_leaves_collections_of_others(database):
    client, name = database
    others = ["inventory", "players.Kart", "players.kart.old", "results", "results.kart.weekly.1a"]
    for each in others:
        await client[name][each].insert_one({"_id": "sword"})
    await ownership.claim(*database, GAMES)
    await filled(database)
    assert await ownership.drop(*database, GAMES) == others
    assert sorted(await client[name].list_collection_names()) == others
    assert await ownership.drop(*database, GAMES) == others


@pytest.mark.parametrize("owner", [RIVAL, AGAIN, None])
async def test_drop_by_another_owner_changes_nothing(database, owner):
    client, name = database
    if owner is not None:
        await ownership.claim(*database, owner)
    await filled(database)
    before = sorted(await client[name].list_collection_names())
    with pytest.raises(ForeignDatabase):
        await ownership.drop(*database, GAMES)
    assert sorted(await client[name].list_collection_names()) == before
    assert await client[name]["players"].count_documents({}) == 1


async def test_release_by_another_owner_is_refused(database):
    await ownership.claim(*database, GAMES)
    with pytest.raises(ForeignDatabase):
        await ownership.release(*database, RIVAL)
    assert await ownership.release(*database, AGAIN)
    assert not await ownership.release(*database, GAMES)
    await ownership.claim(*database, RIVAL)


async def test_ownership_action_on_an_unreachable_database_is_a_startup_error():
    async with AsyncMongoClient("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50") as client:
        for action in (ownership.claim, ownership.release, ownership.drop):
            with pytest.raises(StartupError, match="MongoDB cannot be reached"):
                await action(client, "arcade", GAMES, seconds=0.3)
        with pytest.raises(StartupError, match="MongoDB cannot be reached"):
            await ownership.read(client, "arcade", seconds=0.3)


def service(mongo_database, owner: Owner) -> RunningService:
    uri, name = mongo_database
    return RunningService(f"--database-owner={'/'.join(owner)}", uri=uri, database=name)


def test_service_claims_its_database_and_does_not_start_in_a_foreign_one(mongo_database, tmp_path):
    uri, name = mongo_database
    running = service(mongo_database, GAMES).start(tmp_path / "service.log")
    try:
        with MongoClient(uri) as client:
            assert client[name][METADATA].find_one()["uid"] == "uid-1"
            of_service = {"players", "ledger", "leases"}
            wait_until(lambda: of_service <= set(client[name].list_collection_names()), 30, "the ledger's collection")
            assert set(client[name].list_collection_names()) <= {"players", *COLLECTIONS, METADATA}, (
                "the drop knows them all"
            )
        with pytest.raises(AssertionError, match=r"error: database '.*' belongs to games/arcade"):
            service(mongo_database, RIVAL).start(tmp_path / "rival.log")
    finally:
        running.kill()


def run(mongo_database, capsys, action: str, owner: Owner | None) -> tuple[int, str, str]:
    uri, name = mongo_database
    flags = [] if owner is None else [f"--database-owner={'/'.join(owner)}"]
    code = main(["database", action, f"--mongodb-uri={uri}", f"--mongodb-database={name}", *flags])
    return code, *capsys.readouterr()


def test_database_command_shows_releases_and_drops(mongo_database, capsys):
    uri, name = mongo_database
    with MongoClient(uri) as client:
        assert run(mongo_database, capsys, "show", None) == (0, f"{command.NO_OWNER}\n", "")
        client[name][METADATA].insert_one({"_id": "owner", **GAMES._asdict()})
        client[name]["players"].insert_one({"_id": "a"})
        assert run(mongo_database, capsys, "show", None) == (0, "games/arcade (uid uid-1)\n", "")
        code, out, err = run(mongo_database, capsys, "drop", RIVAL)
        assert (code, out) == (command.KEPT, "")
        assert "belongs to games/arcade" in err
        assert "nothing was changed" in err
        assert run(mongo_database, capsys, "drop", GAMES) == (0, "dropped\n", "")
        assert name not in client.list_database_names()
        assert run(mongo_database, capsys, "release", GAMES) == (0, f"{command.NO_OWNER}\n", "")


def test_database_command_without_an_owner_or_a_database_is_refused(mongo_database, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(mongo_database, capsys, "drop", None)
    assert (code, "database_owner" in err) == (2, True)
    assert main(["database", "show"]) == 2
    assert "mongodb_uri" in capsys.readouterr().err
