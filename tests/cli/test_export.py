"""`leaderboard export ledger` of a real database, and `leaderboard audit --ledger` of what it wrote."""

import asyncio
import csv
import io
import json
from argparse import ArgumentParser

import pytest

from tests.support.ledger import chains
from tests.support.ledger_harness import moderation_request, open_ledger_harness
from tests.support.wait import eventually
from tornado_app.cli import export
from tornado_app.cli.main import main
from tornado_app.core.errors import StartupError
from tornado_app.mongo.ledger.lease import Lease
from tornado_app.mongo.ledger.retention import Retention

PLAYERS = ("alice", "bob", "Zoë")


@pytest.fixture
async def harness(mongo_database):
    """Three players with five entries each, one of them with a take-back too, and one who was erased."""
    async with open_ledger_harness(*mongo_database) as harness:
        await harness.start_writer()
        await harness.score("gone")
        for n in range(15):
            await harness.score(PLAYERS[n % 3], n + 1, f"a-{n}")
        case = moderation_request("bob", 'a "cheat",\nwith a line break')
        await harness.moderation.take_back(case, action_id="a-1", since=None)
        await harness.moderation.erase(moderation_request("gone"))
        await harness.wait_complete()
        await eventually(lambda: harness.sync["ledger"].count_documents({"player": "gone"}) == 0)
        yield harness


async def exported(harness, *flags):
    """The exit code, and what was written to standard output and standard error."""
    parser, out, err = ArgumentParser(), io.StringIO(), io.StringIO()
    export.add_options(parser)
    uri = f"mongodb://{harness.sync.client.address[0]}:{harness.sync.client.address[1]}/?replicaSet=rs0"
    options = parser.parse_args(["ledger", "--mongodb-uri", uri, "--mongodb-database", harness.name, *flags])
    code = await asyncio.to_thread(export.run, options, out=out, err=err)
    return code, out.getvalue(), err.getvalue()


EMPTY = "exported: 0 players, 0 entries, 0 erasures\n"
ALL = "exported: 3 players, 16 entries, 1 erasure\n"


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def keys(lines):
    return [(line["player"], line["n"]) for line in lines]


async def test_export_has_every_entry_sorted_by_player_and_number(harness):
    code, out, err = await exported(harness)
    lines = lines_of(out)
    stored = [entry for _, own in sorted(chains(harness.sync).items()) for entry in own]
    assert (code, err) == (0, ALL)
    assert keys(lines) == keys(stored)
    assert [line["hash"] for line in lines] == [entry["hash"].hex() for entry in stored]
    assert list(lines[0]) == [
        "write_id", "player", "n", "kind", "points", "score", "at", "version", "id", "type", "frontend", "by",
        "reason", "takes_back", "submitted", "hash", "checkpoint", "board", "epochs",
    ]  # fmt: skip


async def test_export_as_csv_has_the_same_values(harness):
    _, out, _ = await exported(harness)
    code, table, _ = await exported(harness, "--format", "csv")
    assert code == 0
    assert list(csv.DictReader(io.StringIO(table, newline=""))) == [
        {
            name: " ".join(value) if isinstance(value, list) else "" if value in (None, {}) else str(value)
            for name, value in line.items()
        }
        for line in lines_of(out)
    ]


async def test_export_of_a_player_and_of_a_time_has_only_those_entries(harness):
    _, out, _ = await exported(harness, "--player", "bob")
    bob = lines_of(out)
    assert keys(bob) == [("bob", n) for n in range(1, 7)]
    _, out, _ = await exported(harness, "--player", "bob", "--since", bob[2]["at"], "--before", bob[4]["at"])
    assert lines_of(out) == [line for line in bob if bob[2]["at"] <= line["at"] < bob[4]["at"]]
    assert await exported(harness, "--before", "7d") == (0, "", EMPTY)


async def test_export_to_a_file_replaces_it_only_when_it_is_complete(harness, tmp_path):
    file = tmp_path / "ledger.jsonl"
    file.write_text("before")
    assert await exported(harness, "--output", str(file)) == (0, "", ALL)
    complete = file.read_text()
    assert complete == (await exported(harness))[1]
    with pytest.raises(StartupError):
        await exported(harness, "--mongodb-database", "none", "--output", str(file))
    assert file.read_text() == complete
    assert [each.name for each in tmp_path.iterdir()] == [file.name]
    with pytest.raises(StartupError, match="cannot be written"):
        await exported(harness, "--output", str(tmp_path / "none" / "x"))


async def test_export_leaves_out_a_malformed_entry_and_fails(harness):
    harness.sync["ledger"].insert_one({"_id": "odd", "player": "bob", "n": 7})
    code, out, err = await exported(harness)
    assert (code, len(out.splitlines())) == (1, 17)
    assert err == f"error: 1 malformed entries were left out: run leaderboard audit\n{ALL}"


async def test_audit_of_an_export_passes_before_and_after_a_fold(harness, tmp_path, capsys):
    file, later = tmp_path / "all.jsonl", tmp_path / "later.jsonl"
    await exported(harness, "--output", str(file))
    assert main(["audit", "--ledger", str(file)]) == 0
    counts = "3 players, 16 entries, 1 erasure, 0 differences, 0 irregularities"
    assert capsys.readouterr().out == f"Every chain in the file is complete. {counts}.\n"
    database = harness.client[harness.name]
    lease = Lease(database, "export", ttl=600.0)
    await lease.take()
    await Retention(database, database["ledger"], lease, 0.0).fold_before(2**53)
    _, _, err = await exported(harness, "--output", str(later))
    note = "note: 13 entries had been folded before this export and are not in it\n"
    assert err == f"{note}exported: 3 players, 3 entries, 1 erasure\n"
    assert main(["audit", "--json", "--ledger", str(later)]) == 0
    assert json.loads(capsys.readouterr().out)["folded"] == 13
    folded = {(line["player"], line["n"]): line["hash"] for line in lines_of(file.read_text())}
    checkpoints = [line for line in lines_of(later.read_text()) if line["checkpoint"]]
    assert len(checkpoints) == 3
    assert all(line["checkpoint"] == folded[line["player"], line["n"] - 1] for line in checkpoints)


async def test_export_of_entries_that_are_folded_meanwhile_fails_and_keeps_the_file(harness, tmp_path):
    file = tmp_path / "ledger.jsonl"
    hashes = [entry["hash"] for entry in chains(harness.sync)["bob"]]
    harness.sync["ledger"].update_one({"player": "bob", "n": 4}, {"$set": {"checkpoint": hashes[2]}})
    harness.sync["ledger"].delete_one({"player": "bob", "n": 3})
    with pytest.raises(StartupError, match="entries of 1 players were folded before they were read: export again"):
        await exported(harness, "--output", str(file))
    assert not file.exists()
    harness.sync["ledger"].delete_many({"player": "bob", "n": {"$lt": 4}})
    assert (await exported(harness, "--output", str(file)))[0] == 0


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda lines: lines.pop(4), "missing_entry"),
        (lambda lines: lines[4].update(points=99), "changed_entry"),
        (lambda lines: lines[4].update(n="x"), "changed_entry"),
        (lambda lines: lines.reverse(), "changed_entry"),
    ],
)
async def test_audit_of_a_changed_export_reports_it(harness, tmp_path, capsys, change, kind):
    file = tmp_path / "ledger.jsonl"
    lines = lines_of((await exported(harness))[1])
    change(lines)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["audit", "--json", "--ledger", str(file)]) == 1
    assert kind in {json.loads(line).get("kind") for line in capsys.readouterr().out.splitlines()}


def test_audit_of_a_missing_file_is_an_error(tmp_path, capsys):
    assert main(["audit", "--ledger", str(tmp_path / "none")]) == 1
    assert "cannot be read" in capsys.readouterr().err
