"""`leaderboard period` on a real database."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from argparse import ArgumentParser
from hashlib import sha256

import pytest

from tornado_app.cli import period
from tornado_app.core.errors import ConfigError, StartupError
from tornado_app.mongo.client.driver import connect
from tornado_app.mongo.periods.erasure import ResultEraser


@pytest.fixture
def command(mongo_database, process):
    """A function that runs the command: the exit code, and what it wrote."""

    async def command(*flags: str) -> tuple[int, str, str]:
        parser, out, err = ArgumentParser(), io.StringIO(), io.StringIO()
        period.add_options(parser)
        uri, name = mongo_database
        options = parser.parse_args([*flags, "--mongodb-uri", uri, "--mongodb-database", name])
        code = await asyncio.to_thread(period.run, options, out=out, err=err)
        return code, out.getvalue(), err.getvalue()

    return command


async def test_list_has_every_epoch_with_its_state(command, process):
    code, out, err = await command("list")
    rows = [line.split("  ") for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert [row[:3] for row in rows[:2]] == [["main", "season", "1"], ["kart", "hourly", "1"]]
    assert (rows[0][4:], rows[1][5:7]) == (["-", "open"], ["sealed", "2"])
    assert {row[5] for row in rows} == {"open", "sealed", "planned", "closing"}
    assert (await command("list", "--board", "main"))[1].splitlines() == out.splitlines()[:1]
    assert (await command("list", "season"))[1].splitlines() == [out.splitlines()[0], out.splitlines()[-1]]


async def test_plan_that_another_program_changed_is_an_error_that_names_the_document(command, process, mongo_database):
    async with connect(mongo_database[0]) as client:
        await client[mongo_database[1]]["periods"].update_one({"_id": "main.season.1"}, {"$set": {"start": "now"}})
    with pytest.raises(StartupError, match=r"restore it: periods document 'main\.season\.1'"):
        await command("list")


async def test_results_as_json_lines_have_the_digest_of_the_list(command):
    code, out, err = await command("results", "hourly", "--board", "kart")
    digest = sha256(out.encode()).hexdigest()
    assert (code, err) == (0, f"exported: 2 rows of epoch 1, SHA-256 {digest}\n")
    assert [json.loads(line)["user_id"] for line in out.splitlines()] == ["a", "b"]
    assert digest in (await command("list"))[1]


async def test_results_as_csv_have_the_same_values(command, tmp_path):
    file = tmp_path / "kart.csv"
    flags = ("results", "hourly", "--board", "kart", "--epoch", "1")
    assert (await command(*flags, "--format", "csv", "--output", str(file)))[0] == 0
    lines = [json.loads(line) for line in (await command(*flags))[1].splitlines()]
    table = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"), newline=""))
    assert list(table) == [{**{name: str(value) for name, value in line.items()}, "avatar_url": ""} for line in lines]


async def test_results_that_were_changed_fail(command, process, mongo_database):
    async with connect(mongo_database[0]) as client:
        await client[mongo_database[1]]["results.kart.hourly.1"].update_one({"_id": "a"}, {"$set": {"score": 6}})
    code, _, err = await command("results", "hourly", "--board", "kart")
    assert code == 1
    assert err.startswith("error: the rows of epoch 1 are not those that were sealed: the digest differs.")


async def test_erasure_shows_in_the_list_and_the_results(command, process, mongo_database):
    async with connect(mongo_database[0]) as client:
        await ResultEraser(client, mongo_database[1]).erase("a")
    assert "sealed  2  -" in (await command("list"))[1]
    code, _, err = await command("results", "hourly", "--board", "kart")
    assert (code, err) == (1, "error: epoch 1 has no digest for some seconds after an erasure: export again\n")
    await process.planner.plan()
    await process.planner.seal()
    assert "  1 erased\n" in (await command("list"))[1]
    code, out, _ = await command("results", "hourly", "--board", "kart", "--epoch", "1")
    assert (code, [json.loads(line)["user_id"] for line in out.splitlines()]) == (0, ["b"])


async def test_end_ends_the_open_epoch(command, process):
    code, out, _ = await command("end", "season")
    assert code == 0
    plan = await process.plan.refresh()
    (ended,) = [epoch for view, epochs in plan.epochs.items() if view == ("main", "season") for epoch in epochs]
    assert ended.end is not None
    assert out.startswith("epoch 1 of season ends at 20")


async def test_disqualify_leaves_the_player_out_and_undo_takes_it_back(command, mongo_database):
    flags = ("disqualify", "hourly", "--board", "kart", "--epoch", "3", "--player", "b", "--reason", "speed hack")
    assert (await command(*flags))[:2] == (0, "b is now disqualified in epoch 3 of hourly\n")
    assert (await command(*flags))[1] == "b was already disqualified in epoch 3 of hourly\n"
    async with connect(mongo_database[0]) as client:
        (listed,) = (await client[mongo_database[1]]["periods"].find_one({"_id": "kart.hourly.3"}))["disqualified"]
    assert (listed["player"], listed["by"], listed["reason"]) == ("b", "leaderboard period", "speed hack")
    code, out, err = await command("disqualified", *flags[1:6])
    (line,) = [json.loads(line) for line in out.splitlines()]
    assert (code, err, line.pop("at")[-1]) == (0, "", "Z")
    assert line == {"player": "b", "by": "leaderboard period", "reason": "speed hack"}
    assert (await command(*flags, "--undo"))[1] == "b is now not disqualified in epoch 3 of hourly\n"
    assert (await command("disqualified", *flags[1:6]))[:2] == (0, "")
    with pytest.raises(StartupError, match="does not change any more"):
        await command(*flags[:5], "1", *flags[6:])


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (("list", "--board", "karts"), "has no such period; leaderboard period list prints all"),
        (("list", "hourly", "--board", "main"), "has no such period; leaderboard period list prints all"),
        (("end", "hourly"), "the database has no period 'hourly' of board 'main'"),
        (("results", "season"), "season does not have a sealed epoch: see leaderboard period list"),
        (("results", "hourly", "--board", "kart", "--epoch", "2"), "hourly does not have a result of epoch 2"),
        (("disqualified", "season", "--epoch", "9"), "no such epoch"),
    ],
)
async def test_action_that_is_impossible_says_why(command, flags, problem):
    with pytest.raises(StartupError, match=problem):
        await command(*flags)


@pytest.mark.parametrize(
    ("flags", "faults"),
    [
        (("end",), ["name the period: leaderboard period end PERIOD"]),
        (("end", "season", "--epoch", "3"), ["--epoch: end does not use it; leave it out"]),
        (("disqualified", "season"), ["--epoch: it is missing; disqualified needs it"]),
        (
            ("disqualify", "season", "--player", "b", "--reason", ""),
            ["--epoch: it is missing; disqualify needs it", "--reason: it is missing; disqualify needs it"],
        ),
    ],
)
async def test_command_line_that_an_action_cannot_use_is_refused(command, flags, faults):
    with pytest.raises(ConfigError) as error:
        await command(*flags)
    assert error.value.faults == faults


@pytest.mark.parametrize("epoch", ["0", "-1", "previous", "1.5"])
async def test_epoch_is_a_number_from_one(command, epoch, capsys):
    with pytest.raises(SystemExit):
        await command("results", "season", "--epoch", epoch)
    assert "argument --epoch: use the number of an epoch, from 1" in capsys.readouterr().err
