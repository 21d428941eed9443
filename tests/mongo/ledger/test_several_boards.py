"""The ledger of several boards in one database, on a real mongod."""

import asyncio
import io
import json
from argparse import ArgumentParser

import pytest
from bson import Timestamp

from tests.support.audit import audited, differences, options
from tests.support.ledger import begin_erasure, chains, kinds, recomputed
from tests.support.ledger_harness import open_ledger_harness
from tests.support.wait import eventually
from tornado_app import audit
from tornado_app.cli import export
from tornado_app.core.errors import StartupError
from tornado_app.mongo.client.driver import maybe_await
from tornado_app.mongo.ledger.lease import Lease
from tornado_app.mongo.ledger.retention import Retention

BOARDS = ("main", "kart", "chess")


@pytest.fixture(params=[False, True], ids=["alone", "with feed"])
async def harness(request, mongo_database):
    """`with feed`: that of the board `main`."""
    async with open_ledger_harness(*mongo_database, with_feed=request.param, pages=7) as harness:
        yield harness


@pytest.fixture
async def played(mongo_database):
    """Three players with four recorded entries each on three boards, and no writer."""
    async with open_ledger_harness(*mongo_database, pages=2) as harness:
        writer = await harness.start_writer()
        for n in range(4):
            await play(harness, n + 1)
        await harness.wait_complete()
        await harness.crash(writer)
        yield harness


async def play(harness, points=1):
    scores = [harness.score(player, points, board=board) for board in BOARDS for player in ("alice", "bob", "zoe")]
    await asyncio.gather(*scores)


def reconciled(harness):
    return harness.sync["ledger"].count_documents({"kind": {"$in": ["reconciled", "external"]}})


async def test_ledger_has_a_chain_of_each_player_on_each_board(harness):
    await harness.start_writer()
    for n in range(10):
        await play(harness, n + 1)
    await harness.wait_complete()
    for board in BOARDS:
        assert [entry["n"] for entry in chains(harness.sync, board=board)["bob"]] == list(range(1, 11))
    assert await audited(harness) == (0, [summary(players=9, entries=90)])
    entries = await harness.ledger.history("bob", 2, None, board="kart")
    assert [(entry.board, entry.n, entry.score) for entry in entries] == [("kart", 10, 55), ("kart", 9, 45)]
    pages = [page async for page in harness.ledger.actions("bob", board="chess")]
    assert sum(len(page) for page in pages) == 10
    assert [(e["board"], e["n"]) for e in await harness.ledger.export("zoe")][::10] == [
        ("main", 1), ("chess", 1), ("kart", 1),
    ]  # fmt: skip
    assert await harness.ledger.knows("bob", board="kart")
    assert not await harness.ledger.knows("bob", board="other")


def summary(**counts):
    zero = dict.fromkeys(("players", "entries", "folded", "erasures", "results", "differences", "irregularities"), 0)
    return {"type": "summary"} | zero | counts


async def test_ledger_after_the_drop_of_a_board_compares_that_board_only(harness):
    await harness.start_writer()
    await play(harness, 5)
    await harness.wait_complete()
    playing = asyncio.ensure_future(play_main(harness))
    await maybe_await(harness.client[harness.name]["players.kart"].drop())
    await eventually(lambda: kinds(harness.sync, "zoe", "kart") == [("action", 5), ("reconciled", -5)])
    await playing
    await harness.score("zoe", 3, board="kart")
    await harness.wait_complete()
    assert kinds(harness.sync, "zoe", "kart")[-1] == ("action", 3)
    assert reconciled(harness) == 3
    assert {kind for kind, _ in kinds(harness.sync, "alice")} == {"action"}


async def play_main(harness):
    for _ in range(30):
        await harness.score("alice", 1)


async def test_ledger_of_a_board_renamed_to_another_has_the_differences(harness):
    await harness.start_writer()
    await play(harness, 5)
    await harness.score("alice", 2, board="kart")
    await harness.wait_complete()
    await maybe_await(harness.client[harness.name]["players.kart"].rename("players.chess", dropTarget=True))
    await eventually(lambda: kinds(harness.sync, "alice", "chess") == [("action", 5), ("reconciled", 2)])
    await eventually(lambda: kinds(harness.sync, "alice", "kart")[-1] == ("reconciled", -7))
    assert kinds(harness.sync, "alice") == [("action", 5)]


async def test_erasure_on_a_board_removes_the_chain_of_that_board(harness):
    await harness.start_writer()
    await play(harness, 5)
    await harness.wait_complete()
    begin_erasure(harness.sync, "bob", "kart")
    harness.sync["players.kart"].delete_one({"_id": "bob"})
    await eventually(lambda: kinds(harness.sync, "", "kart") == [("erase", 0)])
    await harness.wait_complete()
    assert (kinds(harness.sync, "bob", "kart"), kinds(harness.sync, "bob")) == ([], [("action", 5)])
    assert await audited(harness) == (0, [summary(players=8, entries=8, erasures=1)])


async def test_folded_chains_of_all_boards_pass_the_audit(played):
    database = played.client[played.name]
    lease = Lease(database, "ledger")
    played.sync["leases"].update_one({}, {"$unset": {"until": ""}})
    assert await lease.take() is not None
    assert await Retention(database, database["ledger"], lease, 0.0).fold_before(2**53) == 27
    for board in BOARDS:
        assert [entry["n"] for entry in chains(played.sync, board=board)["zoe"]] == [4]
    assert await played.ledger.folded_until("zoe", board="kart") is not None
    assert await played.ledger.folded_until("zoe", board="other") is None
    assert await audited(played) == (0, [summary(players=9, entries=9, folded=27)])


# -- the audit ----------------------------------------------------------------------------------------------------


async def test_audit_finds_a_forged_entry_of_a_board(played):
    played.sync["ledger"].update_one({"player": {"board": "kart", "id": "bob"}, "n": 2}, {"$set": {"by": "eve"}})
    assert await findings(played) == [("kart", "changed_entry", "bob", 2)]
    assert await differences(played, "--board", "main", "--board", "chess") == []


async def test_audit_finds_an_entry_that_was_moved_to_another_board(played):
    last = played.sync["ledger"].find_one({"player": {"board": "kart", "id": "bob"}, "n": 4})
    moved = {"player": {"board": "rally", "id": "bob"}, "n": 1}
    played.sync["ledger"].update_one({"_id": last["_id"]}, {"$set": moved})
    found = await findings(played)
    assert ("rally", "changed_entry", "bob", 1) in found
    assert ("kart", "not_recorded", "bob", None) in found


async def test_audit_finds_a_chain_that_was_moved_to_another_board(played):
    """The hash covers the board, so it is another one on `main`, too."""
    for entry in chains(played.sync, board="chess")["bob"]:
        moved = {"board": "rally", "id": "bob"}
        played.sync["ledger"].update_one({"_id": entry["_id"]}, {"$set": {"player": moved}})
        assert recomputed(entry, b"") != recomputed(entry | {"player": moved}, b"")
        assert recomputed(entry, b"") != recomputed(entry | {"player": "bob"}, b"")
    found = await findings(played)
    assert next(each for each in found if each[0] == "rally") == ("rally", "changed_entry", "bob", 1)
    assert ("rally", "no_player", "bob", None) in found
    assert ("chess", "not_recorded", "bob", None) in found


@pytest.mark.parametrize(
    "player",
    [{}, {"board": "kart"}, {"board": 7, "id": "bob"}, {"board": "Kart", "id": "bob"}, {"board": "main", "id": "bob"},
     {"id": "bob", "board": "kart"}, {"a": "b"}],
    ids=str,
)  # fmt: skip
async def test_audit_finds_an_entry_of_no_board(played, player):
    played.sync["ledger"].insert_one({"_id": "x", "player": player, "n": 1})
    found = await findings(played)
    assert found == [("main", "unknown_document", None, None)]


async def test_audit_accepts_the_placeholder_of_a_first_write(played):
    for collection in ("players", "players.kart"):
        played.sync[collection].insert_one({"_id": "eve"})
    assert await findings(played) == []


async def findings(harness):
    _, lines = await audited(harness)
    return [(e["board"], e["kind"], e.get("player"), e.get("n")) for e in lines if e["type"] == "difference"]


# -- former versions, which follow the board `main` only ----------------------------------------------------------


def set_lease(harness, unset=(), **members):
    """Change what the lease says; no process holds it then."""
    removed = dict.fromkeys(("until", "holder", *unset), "")
    harness.sync["leases"].update_one({}, {"$set": members, "$unset": removed})


async def test_ledger_of_a_former_version_is_continued_and_other_boards_begin(played):
    """Its lease has a token of the stream of one collection, and its ledger no entries of other boards."""
    played.sync["ledger"].delete_many({"player": {"$type": "object"}})
    with played.sync["players"].watch(max_await_time_ms=1) as stream:
        stream.try_next()
        token = stream.resume_token
    await played.score("alice", 1)
    await played.score("bob", 3, board="kart")
    set_lease(played, unset=["resume_point"], resume_token=token)
    played.add_writer()
    await played.wait_complete()
    assert kinds(played.sync, "alice") == [("action", n) for n in (1, 2, 3, 4, 1)]
    assert kinds(played.sync, "bob", "kart") == [("opening", 13)]
    await played.score("bob", 4, board="kart")
    await played.wait_complete()
    assert kinds(played.sync, "bob", "kart") == [("opening", 13), ("action", 4)]
    assert await audited(played) == (0, [summary(players=9, entries=20)])


async def test_ledger_after_a_former_version_wrote_it_has_the_events_of_the_other_boards(played):
    """As in a rolling update, where a process of either version may write the ledger."""
    place = played.sync["leases"].find_one()["resume_point"]
    writer = await played.start_writer()
    await play(played, 5)
    await played.score("zoe", 6, board="kart")
    await played.wait_complete()
    await played.crash(writer)
    with played.sync["players"].watch(max_await_time_ms=1) as stream:
        stream.try_next()
        token = stream.resume_token
    played.sync["ledger"].delete_many({"player": {"$type": "object"}, "n": {"$gt": 4}})
    set_lease(played, resume_point=place, resume_token=token)
    played.add_writer()
    await played.score("alice", 7)
    await played.wait_complete()
    assert kinds(played.sync, "zoe", "kart") == [("action", n) for n in range(1, 7)]
    assert kinds(played.sync, "alice") == [("action", n) for n in (1, 2, 3, 4, 5, 7)]


async def test_stream_of_one_collection_continues_where_the_ledger_is(played):
    """A former version reads from `resume_token`; the last event may be of a board that it does not follow."""
    writer = await played.start_writer()
    await played.score("zoe", 6, board="kart")
    await played.wait_complete()
    await writer.close()
    place = played.sync["leases"].find_one()["resume_token"]
    assert isinstance(place, Timestamp)
    await played.score("alice", 7)
    with played.sync["players"].watch(start_at_operation_time=place, max_await_time_ms=100) as stream:
        event = await eventually(stream.try_next)
    assert event["documentKey"] == {"_id": "alice"}


async def test_former_version_sees_no_entries_of_other_boards(played):
    """Its conditions on `player` are of texts, which no document matches."""
    entries = played.sync["ledger"]
    assert entries.count_documents({}) == 36
    assert entries.count_documents({"player": {"$gt": ""}}) == 12
    assert entries.index_information()["chain"]["key"] == [("player", 1), ("n", 1)]


# -- export -------------------------------------------------------------------------------------------------------


async def test_export_of_all_boards_passes_the_audit_of_the_file(played, tmp_path):
    code, file = await exported(played, tmp_path / "all.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert code == 0
    assert [(line["board"], line["player"], line["n"]) for line in lines] == [
        (board, player, n) for board in ("main", "chess", "kart") for player in ("alice", "bob", "zoe")
        for n in range(1, 5)
    ]  # fmt: skip
    assert await audited_file(file) == []
    lines[20]["board"] = "kart"
    file.write_text("\n".join(map(json.dumps, lines)))
    assert "changed_entry" in await audited_file(file)
    _, kart = await exported(played, tmp_path / "kart.jsonl", "--board", "kart", "--player", "bob")
    assert len(kart.read_text().splitlines()) == 4


async def test_export_of_an_unknown_board_is_an_error(played, tmp_path):
    with pytest.raises(StartupError, match="no board 'rally': it has main, chess, kart"):
        await exported(played, tmp_path / "x", "--board", "rally")


async def exported(harness, file, *flags):
    uri = f"mongodb://{harness.sync.client.address[0]}:{harness.sync.client.address[1]}/?replicaSet=rs0"
    parser = ArgumentParser()
    export.add_options(parser)
    argv = ["ledger", "--mongodb-uri", uri, "--mongodb-database", harness.name, "--output", str(file), *flags]
    code = await asyncio.to_thread(export.run, parser.parse_args(argv), out=io.StringIO(), err=io.StringIO())
    return code, file


async def audited_file(file):
    out = io.StringIO()
    await asyncio.to_thread(audit.run, options("--ledger", str(file), "--json"), out=out, err=io.StringIO())
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    return [line["kind"] for line in lines if line["type"] == "difference"]
