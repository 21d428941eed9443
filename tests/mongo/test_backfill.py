"""docs/backfill.md: its commands, as they stand there, move players with names and times to a new board."""

import os
import re
import shlex
import subprocess
import sys

import pytest
from pymongo import MongoClient

from tests.support.project import ROOT
from tests.support.service import RunningService, token
from tests.support.wait import wait_until

pytestmark = pytest.mark.long

PAGE = (ROOT / "docs" / "backfill.md").read_text(encoding="utf-8")
SECRET = "/run/secrets/mongodb-uri"
HEADER = "user_id,username,score,updated_at"
BOARD = "leaderboard"


def commands():
    return [match.strip() for match in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)]


def run(command, uri_file, folder):
    program, *arguments = shlex.split(command.replace(SECRET, str(uri_file)))
    words = {"python": [sys.executable], "leaderboard": [sys.executable, "-m", "tornado_app"]}[program]
    arguments = [str(ROOT / word) if word.startswith("docs/") else word for word in arguments]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LEADERBOARD_")}
    return subprocess.run(
        [*words, *arguments], cwd=folder, env=environ, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def database(own_replica_set, tmp_path):
    (tmp_path / "uri").write_text(own_replica_set.uri)
    with MongoClient(own_replica_set.uri, tz_aware=True) as client:
        yield client[BOARD]


def write(folder, *lines):
    (folder / "players.csv").write_text("\n".join([HEADER, *lines, ""]), encoding="utf-8")


def _wait_for_ledger(database):
    wait_until(lambda: database["leases"].find_one({"resume_token": {"$ne": None}}), 60, "the ledger has begun")


def test_backfill_by_the_documented_commands_keeps_names_and_times(database, own_replica_set, tmp_path):
    backfill, serve, audit = commands()
    documented = re.search(r"```csv\n(.*?)```", PAGE, re.DOTALL)[1].split("\n")
    lines = [line.strip() for line in documented if line.strip()]
    assert lines[0] == HEADER
    lines += [f"auth0|{n:024x},Player {n},{n % 50},2026-01-01T00:00:{n % 60:02}Z" for n in range(2000)]
    write(tmp_path, *lines[1:], 'steam,"Zoë, ""the cat""",-5,2026-01-01T00:00:00Z')
    for _ in range(2):  # as after an interruption
        done = run(backfill, tmp_path / "uri", tmp_path)
        assert done.returncode == 0, done.stderr
        assert "2,003 of 2,003 players" in done.stderr
    assert shlex.split(serve)[:2] == ["leaderboard", "serve"]
    service = RunningService(uri=own_replica_set.uri).start(tmp_path / "log")
    try:
        _wait_for_ledger(database)
        first, second = service.get("/api/v1/leaderboard?limit=2").json["players"]
        assert (first["user_id"], first["username"], first["score"]) == ("auth0|5f7c8ec7c33c6c004bbafe82", "Ann", 1200)
        assert first["updated_at"] == "2026-03-01T18:30:00.000Z"
        assert (second["username"], second["updated_at"]) == (second["user_id"], "2026-02-11T08:05:12.250Z")
        steam = service.get("/api/v1/players/steam").json
        assert (steam["username"], steam["score"], steam["rank"]) == ('Zoë, "the cat"', -5, 2003)
        answer = service.post("/api/v1/score", {"user_id": "steam", "score_increase": 7}, token=token("steam"))
        assert (answer.status, answer.json["new_score"]) == (200, 2)
        wait_until(lambda: database["ledger"].count_documents({"kind": "action"}) == 1, 60, "the ledger goes on")
        found = run(audit, tmp_path / "uri", tmp_path)
        assert found.returncode == 0, found.stdout[:2000] + found.stderr
        assert "2,003 players, 2,004 entries" in found.stdout
        kinds = [entry["kind"] for entry in database["ledger"].find({"player": "steam"}).sort("n", 1)]
        assert kinds == ["opening", "action"]
        refused = run(backfill, tmp_path / "uri", tmp_path)
        assert refused.returncode == 1
        assert "the service has run on this database" in refused.stderr
    finally:
        service.close()


GOOD = "ann,Ann,5,2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (" ann,Ann,5,2026-01-01T00:00:00Z", "is not a user id"),
        (",Ann,5,2026-01-01T00:00:00Z", "is not a user id"),
        ("bob,\u200b,5,2026-01-01T00:00:00Z", "is not a username"),
        ("bob,Bob,5.5,2026-01-01T00:00:00Z", "is not a whole number of 64 bits"),
        ("bob,Bob,9223372036854775808,2026-01-01T00:00:00Z", "is not a whole number of 64 bits"),
        ("bob,Bob,,2026-01-01T00:00:00Z", "is not a whole number of 64 bits"),
        ("bob,Bob,5,2026-01-01T00:00:00", "has no time zone"),
        ("bob,Bob,5,yesterday", "Invalid isoformat string"),
        ("bob,Bob,5", "Invalid isoformat string"),
        ("ann,Ann,6,2026-01-01T00:00:00Z", "'ann' has a line already"),
    ],
)
def test_backfill_with_an_invalid_line_names_it_and_writes_nothing(mongo_database, tmp_path, line, fault):
    uri, name = mongo_database
    (tmp_path / "uri").write_text(uri)
    write(tmp_path, GOOD, line)
    done = run(f"{commands()[0]} --mongodb-database {name}", tmp_path / "uri", tmp_path)
    assert done.returncode == 1
    assert f"line 3: {fault}" in done.stderr or (", line 3: " in done.stderr and fault in done.stderr)
    assert "1 lines are wrong; nothing was written" in done.stderr
    with MongoClient(uri) as client:
        assert client[name]["players"].count_documents({}) == 0


@pytest.mark.parametrize(
    ("content", "uri", "error"),
    [
        (None, "mongodb://127.0.0.1", "players.csv cannot be read: No such file or directory"),
        (HEADER, None, "uri cannot be read: No such file or directory"),
        (HEADER.encode("utf-16"), "mongodb://127.0.0.1", "players.csv is not text in UTF-8"),
        (HEADER, "mysql://127.0.0.1", "MongoDB failed: Invalid URI scheme"),
        (HEADER, "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100", "Connection refused"),
    ],
)
def test_backfill_failure_of_a_file_or_the_database_is_one_line(tmp_path, content, uri, error):
    if content is not None:
        (tmp_path / "players.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    if uri is not None:
        (tmp_path / "uri").write_text(uri)
    done = run(commands()[0], tmp_path / "uri", tmp_path)
    assert done.returncode == 1
    assert error in done.stderr
    assert "Traceback" not in done.stderr


def test_audit_reports_a_player_inserted_after_the_first_start(database, own_replica_set, tmp_path):
    service = RunningService(uri=own_replica_set.uri).start(tmp_path / "log")
    try:
        _wait_for_ledger(database)
        database["players"].insert_one({"_id": "late", "score": 5})
        wait_until(lambda: database["ledger"].find_one({"player": "late"}), 60, "the ledger has it")
    finally:
        service.close()
    found = run(commands()[2], tmp_path / "uri", tmp_path)
    assert found.returncode == 1
    assert "late" in found.stdout
