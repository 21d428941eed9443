"""`leaderboard audit` on real databases: it passes for an intact ledger and reports every manipulation."""

import asyncio
import io
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bson import MaxKey, MinKey, ObjectId
from bson.datetime_ms import DatetimeMS
from pymongo import MongoClient

from tests.support.audit import audited, differences, options
from tests.support.command import Command, need_mongod
from tests.support.ledger import begin_erasure, kinds, recomputed
from tests.support.ledger_harness import moderation_request, open_ledger_harness
from tests.support.service import RunningService, token
from tests.support.wait import eventually, wait_until
from tornado_app.audit import report
from tornado_app.audit.auditor import Counts
from tornado_app.audit.checks import Finding, Kind
from tornado_app.audit.report import Progress
from tornado_app.cli.main import main
from tornado_app.config import SETTINGS
from tornado_app.core.abuse import AbuseRule
from tornado_app.mongo.ledger.audit import LedgerScan
from tornado_app.mongo.players.suspects import Suspects
from tornado_app.runtime.tasks import cancel_and_wait

MOMENT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for setting in SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)


@pytest.fixture
async def harness(mongo_database):
    """Three players with ten recorded entries each, and a running writer."""
    async with open_ledger_harness(*mongo_database) as harness:
        await harness.start_writer()
        for n in range(30):
            await harness.score(("alice", "bob", "carol")[n % 3], n + 1, f"a-{n}")
        await harness.wait_complete()
        yield harness


@pytest.fixture
async def harness_without_writer(harness):
    """`harness` without a ledger writer."""
    await harness.crash(harness.running[0])
    return harness


async def test_audit_of_an_intact_ledger_reports_no_difference(harness):
    code, lines = await audited(harness)
    assert code == 0, lines
    counts = {
        "players": 3,
        "entries": 30,
        "folded": 0,
        "erasures": 0,
        "results": 0,
        "differences": 0,
        "irregularities": 0,
    }
    assert lines == [{"type": "summary", **counts}]


async def test_audit_after_moderation_reports_no_difference(harness):
    await harness.moderation.take_back(moderation_request("alice"), action_id="a-3", since=None)
    await harness.moderation.hide(moderation_request("bob"))
    await harness.moderation.suspend(moderation_request("bob"))
    await harness.moderation.erase(moderation_request("carol"))
    await harness.score("bob2", 3)
    await harness.moderation.erase(moderation_request("bob2"))
    await eventually(lambda: kinds(harness.sync, "") == [("erase", 0)] * 2)
    code, lines = await audited(harness)
    assert (code, lines[-1]["players"], lines[-1]["erasures"]) == (0, 2, 2)


async def test_audit_of_a_tampered_score_reports_an_external_change(harness):
    harness.sync["players"].update_one({"_id": "bob"}, {"$set": {"score": 1_000_000}})
    assert await differences(harness) == [("external", "bob", 11)]
    await harness.score("bob", 1)
    assert await differences(harness) == [("external", "bob", 11)]
    assert await differences(harness, "--since", "0s") == []


async def test_audit_of_a_tampered_score_without_a_writer_reports_the_score(harness_without_writer):
    harness = harness_without_writer
    harness.sync["players"].update_one({"_id": "bob"}, {"$set": {"score": 1_000_000}})
    assert await differences(harness) == [("score", "bob", None)]


async def test_audit_of_a_write_without_an_entry_reports_not_recorded(harness_without_writer):
    harness = harness_without_writer
    await harness.score("bob", 1)
    assert await differences(harness) == [("not_recorded", "bob", None)]


CHANGES = (
    {"points": 500},
    {"reason": "x"},
    {"by": "mallory"},
    {"at": None},
    {"score": "9"},
    {"at": "x"},
    {"at": DatetimeMS(2**60)},
    {"checkpoint": 10**15},
    {"checkpoint": bytes(32)},
    {"hash": "x"},
    {"kind": "gift"},
    {"version": 1.5},
    {"takes_back": 5},
    {"epochs": {"weekly": 14}},
    {"epochs": 14},
    {"epochs": {"weekly": "14"}},
    {"points": True},
    {"at": DatetimeMS(-(2**60))},
    {"by": ["alice"]},
    {"frontend": {"$gt": ""}},
)


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.long) for part in range(1, 5))])
async def test_audit_of_a_changed_entry_reports_it(harness, part):
    """Each part has a fifth of the changes."""
    ledger = harness.sync["ledger"]
    entry = ledger.find_one({"player": "bob", "n": 4})
    for change in CHANGES[part::5]:
        ledger.update_one({"_id": entry["_id"]}, {"$set": change})
        assert ("changed_entry", "bob", 4) in await differences(harness), change
        ledger.replace_one({"_id": entry["_id"]}, entry)
    assert await differences(harness) == []


async def test_audit_of_a_changed_entry_with_a_matching_hash_reports_the_next_entry(harness):
    before, entry = (harness.sync["ledger"].find_one({"player": "bob", "n": n}) for n in (3, 4))
    entry["by"] = "mallory"
    harness.sync["ledger"].replace_one({"_id": entry["_id"]}, entry | {"hash": recomputed(entry, before["hash"])})
    assert await differences(harness) == [("changed_entry", "bob", 5)]


@pytest.mark.parametrize(
    ("deleted", "reported"), [(4, 5), *(pytest.param(*ends, marks=pytest.mark.long) for ends in ((1, 2), (9, 10)))]
)
async def test_audit_of_a_deleted_entry_reports_the_gap_and_the_score(harness, deleted, reported):
    harness.sync["ledger"].delete_one({"player": "bob", "n": deleted})
    assert await differences(harness) == [("missing_entry", "bob", reported), ("score", "bob", None)]


async def test_audit_of_a_deleted_last_entry_reports_not_recorded(harness):
    harness.sync["ledger"].delete_one({"player": "bob", "n": 10})
    assert await differences(harness) == [("not_recorded", "bob", None)]


async def test_audit_of_a_deleted_chain_reports_not_recorded(harness):
    harness.sync["ledger"].delete_many({"player": "bob"})
    assert await differences(harness) == [("not_recorded", "bob", None)]


async def test_audit_of_swapped_hashes_reports_each_entry(harness):
    one, two = (harness.sync["ledger"].find_one({"player": "bob", "n": n}) for n in (4, 5))
    harness.sync["ledger"].update_one({"_id": one["_id"]}, {"$set": {"hash": two["hash"]}})
    harness.sync["ledger"].update_one({"_id": two["_id"]}, {"$set": {"hash": one["hash"]}})
    found = await differences(harness)
    assert {("changed_entry", "bob", n) for n in (4, 5, 6)} <= set(found)


async def test_audit_of_inserted_entries_reports_those_that_do_not_continue_a_chain(harness):
    entry = harness.sync["ledger"].find_one({"player": "bob", "n": 10})
    more = entry | {"_id": "forged", "n": 11, "points": 5, "score": entry["score"] + 5}
    harness.sync["ledger"].insert_one(more | {"hash": recomputed(more, entry["hash"])})
    assert await differences(harness) == []  # a score that is an earlier sum is right while the ledger is ahead of it
    harness.sync["ledger"].insert_one({"player": "dave", "n": 1})
    harness.sync["ledger"].insert_one(more | {"_id": "other", "player": "erin", "n": 1})
    assert {kind for kind, player, _ in await differences(harness) if player in ("dave", "erin")} >= {"changed_entry"}


async def test_audit_of_deleted_and_malformed_players_reports_them(harness):
    harness.sync["players"].delete_one({"_id": "bob"})
    harness.sync["players"].insert_many([{"_id": 7, "score": 1}, {"_id": "odd", "score": "9"}])
    found = await differences(harness)
    assert ("external", "bob", 11) in found
    assert ("unknown_document", "odd", None) in found
    assert ("unknown_document", None, None) in found


async def test_audit_of_an_entry_without_a_user_id_reports_it(harness):
    for player in (None, 7, 1.5, {"a": 1}, ["zed"], [], b"bob", ObjectId(), True, MOMENT, MinKey(), MaxKey()):
        harness.sync["ledger"].replace_one({"_id": "odd"}, {"player": player, "n": 1}, upsert=True)
        code, lines = await audited(harness)
        assert code == 1
        found = [line["message"] for line in lines if line["type"] != "summary" and line["kind"] == "unknown_document"]
        assert "1 documents in collection ledger that belong to no player" in found, player


async def test_unknown_documents_are_found_without_a_collection_scan(harness_without_writer):
    """With some millions of entries, a collection scan takes longer than the timeout of a query."""
    database = harness_without_writer.sync
    database.command("profile", 2)
    assert await LedgerScan(harness_without_writer.client[harness_without_writer.name]).unknown_documents() == []
    database.command("profile", 0)
    queries = list(
        database["system.profile"].find({"ns": f"{database.name}.ledger", "keysExamined": {"$exists": True}})
    )
    assert len(queries) == 3  # one of them looks for boards
    assert sum(query["keysExamined"] + query["docsExamined"] for query in queries) <= 2


async def test_audit_of_a_deleted_erasure_entry_reports_the_gap(harness):
    for player in ("alice", "bob", "carol"):
        await harness.moderation.erase(moderation_request(player))
    await eventually(lambda: harness.sync["ledger"].count_documents({"kind": "erase"}) == 3)
    harness.sync["ledger"].delete_one({"player": "", "n": 2})
    assert await differences(harness) == [("missing_entry", None, 3)]


async def test_audit_of_an_unfinished_erasure_reports_an_irregularity(harness):
    begin_erasure(harness.sync, "alice")
    code, lines = await audited(harness)
    assert (code, lines[0]["kind"], lines[0]["player"]) == (0, "unfinished_erasure", "alice")


@pytest.mark.long
async def test_audit_under_load_reports_no_difference(harness):
    playing = asyncio.ensure_future(_play(harness))
    await eventually(lambda: harness.sync["players"].estimated_document_count() > 60)
    try:
        for _ in range(5):
            assert await differences(harness, page=20) == []
    finally:
        await cancel_and_wait(playing)


async def _play(harness):
    for n in range(1_000_000):
        await asyncio.gather(*(harness.score(f"p{m}", n % 9 + 1) for m in range(100)))
        await harness.moderation.erase(moderation_request(f"p{n % 100}"))
        await harness.moderation.hide(moderation_request(f"p{(n + 1) % 100}"))


# -- irregularities -----------------------------------------------------------------------------------


async def test_audit_of_unusual_points_and_rates_reports_irregularities(harness):
    for _ in range(25):
        await harness.score("dave", 2)
    await harness.score("dave", 5000)
    await harness.score("dave", 6000)
    await harness.wait_complete()
    code, lines = await audited(harness, "--rate-limit", "5/60s")
    assert code == 0, lines
    found = {(line["kind"], line["player"]): line["message"] for line in lines if line["type"] == "irregularity"}
    assert "5000 points" in found["jump", "dave"]
    assert "and 1 more" in found["jump", "dave"]
    assert "6 updates within" in found["burst", "dave"]
    assert ("sustained", "dave") not in found
    assert ("burst", "alice") in found
    assert await audited(harness, "--rate-limit", "5/60s", "--since", "0s") == (0, lines[-1:] and [
        lines[-1] | {"irregularities": 0}
    ])  # fmt: skip


async def test_audit_of_broken_abuse_rules_reports_them_within_the_period(harness):
    now = [1_800_000_000_000]
    suspects = Suspects(harness.client[harness.name], clock=lambda: now[0])
    await suspects.record("bob", AbuseRule.REPLAY_STORM)
    now[0] += 60_000
    await suspects.record("bob", AbuseRule.REPLAY_STORM)
    await suspects.record("alice", AbuseRule.POINTS_CAP)
    await suspects.record("carol", AbuseRule.REFUSED_PROOFS)
    await harness.moderation.erase(moderation_request("carol"))
    code, lines = await audited(harness)
    messages = {line["player"]: line["message"] for line in lines if line.get("kind") == "rule"}
    assert code == 0
    assert messages == {
        "alice": "broke the rule points_cap, 1 times in all, last at 2027-01-15T08:01:00.000Z",
        "bob": "broke the rule replay_storm, 2 times in all, last at 2027-01-15T08:01:00.000Z",
    }
    assert not [
        line for line in (await audited(harness, "--since", "2027-01-15T08:01:01Z"))[1] if line.get("kind") == "rule"
    ]


# -- the command --------------------------------------------------------------------------------------


def test_audit_since_refuses_other_formats(capsys):
    for since in ("yesterday", "2026-01-02", "2026-01-02T03:04:05", "-1h"):
        with pytest.raises(SystemExit) as ended:
            main(["audit", f"--since={since}"])
        assert ended.value.code == 2
        assert "give a duration before now, such as 24h" in capsys.readouterr().err
    assert options("--since", "2026-01-02T03:04:05Z").since == 1_767_323_045_000


def test_audit_without_a_database_creates_none(capsys, tmp_path):
    assert main(["audit"]) == 1
    assert "there is no database in leaderboard-data" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_audit_without_a_ledger_creates_none(capsys, mongo_database):
    uri, name = mongo_database
    assert main(["audit", "--mongodb-uri", uri, "--mongodb-database", name]) == 1
    assert "has no ledger yet" in capsys.readouterr().err
    with MongoClient(uri) as client:
        assert client[name].list_collection_names() == []


@pytest.mark.long
def test_audit_of_the_embedded_database_passes_running_killed_and_stopped(tmp_path):
    """The audit runs beside the service, after kill -9 of it under load, and after it stopped."""
    need_mongod()
    service = RunningService("--auto-register", "--data-dir", str(tmp_path / "data"), "--rate-limit", "600/60s")
    service.start(tmp_path / "log")
    try:
        for _ in range(20):
            service.post("/api/score", {"score": 5}, token=token("alice"))
        assert _command(tmp_path) == "1 player, 20 entries"
        stop = threading.Event()
        load = threading.Thread(target=_score, args=(service, stop))
        load.start()
        wait_until(lambda: service.metric("leaderboard_ledger_entries_total") > 40)
        service.kill()
        stop.set()
        load.join()
        assert int(_command(tmp_path).split()[2]) > 40
        service.start(tmp_path / "log2")
        assert service.post("/api/score", {"score": 5}, token=token("bob")).status == 201
        service.stop()
        assert _command(tmp_path).startswith("2 players")
    finally:
        service.close()


def _score(service, stop):
    while not stop.is_set():
        try:
            service.post("/api/score", {"score": 1}, token=token("alice"))
        except OSError:
            return


def _command(folder: Path) -> str:
    with Command("audit", "--data-dir", "data", "--rate-limit", "600/60s", folder=folder) as command:
        text = command.rest(60)
        assert command.process.wait(20) == 0, (text, command.errors)
    assert text.startswith(report.PASSED)
    return text.removeprefix(report.PASSED).strip().split(", 0 erasures")[0]


class Tty(io.StringIO):
    def isatty(self):
        return True


def progress_of(out: io.StringIO, *moments: tuple[float, Counts]) -> list[str]:
    """The output at each moment (s) for these counts, of 1,000 players and 2,000 entries."""
    now = 0.0
    bar = Progress(out, 1000, 2000, clock=lambda: now)
    written = []
    for moment, counts in moments:
        now = moment
        before = len(out.getvalue())
        bar(counts)
        bar.write()
        written.append(out.getvalue()[before:])
    return written


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere():
    moments = [(0.2, Counts(0, 0)), (20.2, Counts(500, 1000)), (20.4, Counts(500, 1010))]
    drawn = progress_of(Tty(), *moments)
    assert drawn[0] == f"\r\x1b[K▕{' ' * 24}▏ 0%, 0 players, 0 entries"
    assert drawn[1] == f"\r\x1b[K▕{'█' * 12}{' ' * 12}▏ 50%, 500 players, 1,000 entries, 0:20 left"
    assert progress_of(io.StringIO(), *moments) == ["", "50%, 500 players, 1,000 entries, 0:20 left\n", ""]


def test_progress_without_recent_counts_has_no_estimate():
    drawn = progress_of(
        Tty(),
        (0.5, Counts(0, 500)),  # too early
        (4.0, Counts(0, 1000)),
        (7.0, Counts(0, 1000)),  # no progress
        (8.0, Counts(1000, 1000, rechecking=1000)),
        (20.0, Counts(1000, 1000, rechecking=7)),
        (21.0, Counts(1000, 1500)),  # the time without progress does not count
        (22.0, Counts(1000, 2000)),
    )
    ends = [text.partition("▏ ")[2] for text in drawn]
    assert ends == [
        "17%, 0 players, 500 entries",
        "33%, 0 players, 1,000 entries, 0:08 left",
        "33%, 0 players, 1,000 entries",
        "67%, 1,000 players, 1,000 entries, rechecking 1,000",
        "67%, 1,000 players, 1,000 entries, rechecking 7",
        "83%, 1,000 players, 1,500 entries, 0:01 left",
        "100%, 1,000 players, 2,000 entries",
    ]


def test_report_escapes_control_characters():
    out = io.StringIO()
    printed = report.Report(out, Progress(io.StringIO(), 1, 1), lines_of_json=False)
    printed.add(Finding(Kind.EXTERNAL, "a\x1b[2Jb", "x\n\u202ey", 3))
    assert out.getvalue() == "difference    a\\x1b[2Jb: entry 3: x\\n\\u202ey\n"
