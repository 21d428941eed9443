"""`leaderboard export results` of a real database: the results of all periods."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from argparse import ArgumentParser

import pytest

from tests.support.periods import HOUR
from tornado_app.cli import export, period
from tornado_app.core.errors import StartupError
from tornado_app.core.model import utc_datetime
from tornado_app.core.plan import GRACE
from tornado_app.mongo.client.driver import connect


@pytest.fixture
async def command(mongo_database, process):
    """A function that runs a command: the exit code, and what it wrote. Two more epochs are sealed."""
    uri, name = mongo_database
    async with connect(uri) as client:
        slot = {"e": 2, "s": 7, "t": utc_datetime(process.clock.time)}
        await client[name]["players.kart"].update_one({"_id": "a"}, {"$set": {"w.hourly": slot}})
    process.clock.time += HOUR
    await process.seal_after(GRACE)

    async def command(module, *flags: str) -> tuple[int, str, str]:
        parser, out, err = ArgumentParser(), io.StringIO(), io.StringIO()
        module.add_options(parser)
        options = parser.parse_args([*flags, "--mongodb-uri", uri, "--mongodb-database", name])
        code = await asyncio.to_thread(module.run, options, out=out, err=err)
        return code, out.getvalue(), err.getvalue()

    return command


def rows_of(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


async def test_results_have_the_rows_of_every_sealed_epoch_with_its_name(command):
    code, out, err = await command(export, "results")
    single = [await command(period, "results", "hourly", "--board", "kart", "--epoch", number) for number in "12"]
    assert (code, err) == (0, "exported: 3 rows of 3 results\n")
    assert rows_of(out) == [
        {"board": "kart", "period": "hourly", "epoch": number, **row}
        for number, (_, rows, _) in enumerate(single, start=1)
        for row in rows_of(rows)
    ]


async def test_results_as_csv_have_the_same_values(command, tmp_path):
    file = tmp_path / "results.csv"
    assert (await command(export, "results", "--format", "csv", "--output", str(file)))[0] == 0
    rows = rows_of((await command(export, "results"))[1])
    table = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"), newline=""))
    assert list(table) == [{**{name: str(value) for name, value in row.items()}, "avatar_url": ""} for row in rows]


@pytest.mark.parametrize(
    ("flags", "places"),
    [
        (("--player", "a"), [("a", 1), ("a", 2)]),
        (("--player", "nobody"), []),
        (("--board", "kart"), [("a", 1), ("b", 1), ("a", 2)]),
        (("--board", "main"), []),
        (("--before", "2026-01-01T00:00:00Z"), []),
        (("--since", "2026-01-01T00:00:00Z"), [("a", 1), ("b", 1), ("a", 2)]),
    ],
)
async def test_results_are_those_that_the_flags_choose(command, flags, places):
    code, out, _ = await command(export, "results", *flags)
    assert (code, [(row["user_id"], row["epoch"]) for row in rows_of(out)]) == (0, places)


async def test_results_of_an_unknown_board_are_an_error_that_names_the_others(command):
    with pytest.raises(StartupError, match="the database has no board 'golf': it has main, kart"):
        await command(export, "results", "--board", "golf")


async def test_changed_rows_are_named_and_the_other_results_are_written(command, mongo_database):
    async with connect(mongo_database[0]) as client:
        await client[mongo_database[1]]["results.kart.hourly.1"].delete_one({"_id": "a"})
    code, out, err = await command(export, "results")
    assert (code, [(row["user_id"], row["epoch"]) for row in rows_of(out)]) == (1, [("b", 1), ("a", 2)])
    assert "the rows of epoch kart hourly 1 are not those that were sealed" in err
