"""Ledger entries of change events: pure, and the same however often an event is read."""

import json

import bson
import msgspec
import pytest
from bson import Timestamp

from tests.support.ledger import recomputed
from tornado_app.core.history import INT64, HistoryEntry, WriteKind, encode
from tornado_app.core.ledger import Entry, EntryKind, with_hash
from tornado_app.core.slots import SlotBefore
from tornado_app.mongo.change_stream.events import decode
from tornado_app.mongo.ledger.entries import NOTHING, entries_for, head_in, head_of, ledger_event
from tornado_app.mongo.ledger.reader import TOLERANT, document, from_plain, plain
from tornado_app.mongo.ledger.reader import entry as entry_of_document

AT = 1_800_000_000_000


class Stream:
    """Events as MongoDB sends them, one second apart."""

    def __init__(self):
        self.now = 1_800_000_000
        self.seq = 0

    def _moment(self):
        self.now += 1
        return Timestamp(self.now, 1)

    def _event(self, kind, **more):
        names = {"documentKey": {"_id": "alice"}, "ns": {"coll": "players"}}
        return {"operationType": kind, "clusterTime": self._moment(), **names, **more}

    def insert(self, *entries, **fields):
        history = {str(number): text(entry) for number, entry in enumerate(entries, start=1)}
        self.seq = len(entries)
        return self._event("insert", fullDocument={"seq": self.seq, "h": history, **fields})

    def update(self, *entries, removed=(), **fields):
        for entry in entries:
            self.seq += 1
            fields |= {"seq": self.seq, f"h.{self.seq}": text(entry)}
        return self._event("update", updateDescription={"updatedFields": fields, "removedFields": list(removed)})

    def replace(self, **fields):
        return self._event("replace", fullDocument=fields)

    def delete(self):
        return self._event("delete")


class StreamOfOneSecond(Stream):
    """Events of a second whose increments no board version contains."""

    increment = 2**21

    def _moment(self):
        self.increment += 1
        return Timestamp(self.now, self.increment)


@pytest.fixture
def stream():
    return Stream()


def text(entry):
    return entry if isinstance(entry, str) else encode(entry)


def action(points=5, write_id="op-1", **more):
    return HistoryEntry(
        WriteKind.ACTION,
        points,
        write_id,
        on_board=True,
        at=AT,
        by="alice",
        id="a-1",
        type="level",
        frontend="C",
        **more,
    )


def ledger_event_of(event):
    """The ledger event of a raw event."""
    decoded = decode(event)
    return decoded and ledger_event(decoded)


def recorded(*events, head=NOTHING, reused=()):
    """The entries of a sequence of events; reading an event twice adds none."""
    entries = []
    for event in events:
        decoded = ledger_event_of(event)
        for again in (False, True):
            new = [] if decoded is None else entries_for(decoded, head, reused)
            assert not (again and new)
            entries += new
            head = head_of(new[-1]) if new else head
    return entries


def lines(entries):
    return [(entry.kind.value, entry.points, entry.score) for entry in entries]


def test_entry_of_an_action_has_the_fields_of_its_history_entry(stream):
    (entry,) = recorded(stream.insert(action(), score=5))
    assert (entry.write_id, entry.player, entry.n, entry.kind) == ("op-1", "alice", 1, EntryKind.ACTION)
    assert (entry.points, entry.score, entry.at) == (5, 5, AT)
    assert (entry.by, entry.id, entry.type, entry.frontend) == ("alice", "a-1", "level", "C")
    assert entry.version == stream.now * 2**21 + 1
    assert "increment" not in document(entry)
    assert entry.hash == recomputed(document(entry), b"")


def test_entries_are_numbered_and_chained(stream):
    entries = recorded(stream.insert(action(), score=5), stream.update(action(7, "op-2"), score=12))
    assert [entry.n for entry in entries] == [1, 2]
    before = [b"", *(entry.hash for entry in entries)]
    assert [entry.hash for entry in entries] == [
        recomputed(document(entry), prev) for entry, prev in zip(entries, before, strict=False)
    ]


def test_events_with_one_board_version_are_told_apart():
    stream = StreamOfOneSecond()
    events = [stream.insert(action(), score=5), stream.update(score=7), stream.update(action(7, "op-2"), score=14)]
    entries = recorded(*events)
    assert lines(entries) == [("action", 5, 5), ("external", 2, 7), ("action", 7, 14)]
    assert {entry.version for entry in entries} == {stream.now * 2**21 + 2**21 - 1}
    head = head_of(entries[-1])
    assert [entries_for(ledger_event_of(event), head) for event in events] == [[]] * 3
    opening = msgspec.structs.replace(head_of(entries[0]), kind=EntryKind.OPENING)  # all up to the first event
    assert lines(recorded(*events, head=opening)) == lines(entries[1:])
    for entry in entries:
        stored = bson.decode(bson.encode(document(entry)), codec_options=TOLERANT)
        assert head_in(stored) == head_of(entry)
        assert entry_of_document(stored) == entry
        assert "increment" not in plain(entry)


def test_entries_of_moderation_have_moderator_and_reason_and_only_a_reversal_has_points(stream):
    def by(kind, points, write_id, **more):
        return HistoryEntry(kind, points, write_id, at=AT, by="mod", reason="speed hack — 速すぎる", **more)

    entries = recorded(
        stream.insert(HistoryEntry(WriteKind.REGISTER, 0, "r"), score=0),
        stream.update(action(), score=5),
        stream.update(HistoryEntry(WriteKind.PROFILE, 0, "p", at=AT, by="alice", reason="username")),
        stream.update(by(WriteKind.SUSPEND, 0, "s")),
        stream.update(by(WriteKind.REINSTATE, 0, "i"), removed=["suspended"]),
        stream.update(by(WriteKind.HIDE, 5, "h")),
        stream.update(by(WriteKind.SHOW, 5, "u"), removed=["hidden"]),
        stream.update(by(WriteKind.TAKE_BACK, -5, "t", takes_back=["op-1"]), score=0),
    )
    assert lines(entries) == [
        ("register", 0, 0), ("action", 5, 5), ("profile", 0, 5), ("suspend", 0, 5), ("reinstate", 0, 5),
        ("hide", 0, 5), ("show", 0, 5), ("take_back", -5, 0),
    ]  # fmt: skip
    assert (entries[2].by, entries[2].reason) == ("alice", "username")
    assert {(entry.by, entry.reason) for entry in entries[3:]} == {("mod", "speed hack — 速すぎる")}
    assert entries[-1].takes_back == ("op-1",)


def test_entries_of_submitted_scores_have_them_and_add_up_to_the_score(stream):
    def submitted(value, points, write_id, before):
        return action(points, write_id, submitted=value, before=before)

    entries = recorded(
        stream.insert(HistoryEntry(WriteKind.REGISTER, 0, "r")),
        stream.update(submitted(90, 90, "a", None), score=90),
        stream.update(submitted(95, 0, "b", 90)),
        stream.update(submitted(80, -10, "c", 90), submitted(70, -10, "d", 80), score=70),
        stream.update(HistoryEntry(WriteKind.TAKE_BACK, 25, "t", at=AT, takes_back=["a", "c", "d"]), score=95),
        stream.update(HistoryEntry(WriteKind.TAKE_BACK, -95, "u", at=AT, takes_back=["b"]), removed=["score"]),
    )
    assert lines(entries) == [
        ("register", 0, 0), ("action", 90, 90), ("action", 0, 90), ("action", -10, 80), ("action", -10, 70),
        ("take_back", 25, 95), ("take_back", -95, 0),
    ]  # fmt: skip
    assert [entry.submitted for entry in entries] == [None, 90, 95, 80, 70, None, None]
    before = [b"", *(entry.hash for entry in entries)]
    assert [entry.hash for entry in entries] == [
        recomputed(document(entry), prev) for entry, prev in zip(entries, before, strict=False)
    ]


@pytest.mark.parametrize("submitted", [None, 7])
@pytest.mark.parametrize("board", ["main", "kart"])
def test_entry_of_an_action_names_its_epochs(stream, board, submitted):
    slots = [SlotBefore("weekly", 14, 3), SlotBefore("season", 3, None)]
    event = stream.insert(action(7, submitted=submitted, slots=slots), score=7)
    (entry,) = entries_for(msgspec.structs.replace(ledger_event(decode(event)), board=board), NOTHING)
    assert entry.epochs == (("season", 3), ("weekly", 14))
    stored = document(entry)
    assert stored["epochs"] == {"season": 3, "weekly": 14}
    assert entry.hash == recomputed(stored, b"")
    other_order = stored | {"epochs": {"weekly": 14, "season": 3}}
    assert entry_of_document(other_order) == entry
    assert from_plain(json.loads(json.dumps(plain(entry)))) == entry


def test_entries_of_moderation_name_no_epochs(stream):
    hidden = HistoryEntry(WriteKind.HIDE, 5, "h", at=AT, slots=[SlotBefore("weekly", 14, 3)])
    entries = recorded(stream.insert(action(), score=5), stream.update(hidden))
    assert [entry.epochs for entry in entries] == [(), ()]


def test_event_without_a_score_change_makes_no_entry(stream):
    assert recorded(stream.update(username="Zoë")) == []


def test_score_without_a_history_entry_makes_an_external_entry(stream):
    entries = recorded(
        stream.insert(action(), score=5), stream.update(score=999), stream.update(action(1, "b"), score=1000)
    )
    assert lines(entries) == [("action", 5, 5), ("external", 994, 999), ("action", 1, 1000)]


def test_replaced_document_makes_an_external_entry(stream):
    entries = recorded(stream.insert(action(), score=5), stream.replace(seq=1, h={"1": text(action())}, score=50))
    assert lines(entries) == [("action", 5, 5), ("external", 45, 50)]
    assert recorded(stream.replace(seq=1, h="x", score=50), head=head_of(entries[-1])) == []


def test_points_beyond_the_history_entry_make_an_external_entry(stream):
    entries = recorded(stream.insert(action(), score=5), stream.update(action(5, "b"), score=1000))
    assert lines(entries) == [("action", 5, 5), ("external", 990, 995), ("action", 5, 1000)]


def test_crash_between_two_entries_of_one_event_loses_neither(stream):
    first = recorded(stream.insert(action(), score=5))
    decoded = ledger_event_of(stream.update(action(5, "b"), score=1000))
    external, marked = entries_for(decoded, head_of(first[-1]))
    assert entries_for(decoded, head_of(external)) == [marked]


def test_folded_actions_make_an_entry_each_whatever_of_them_is_recorded(stream):
    first = recorded(stream.insert(action(), score=5))
    folded = [action(points, f"op-{points}") for points in (1, 2, 3)]
    decoded = ledger_event_of(stream.update(*folded, score=11))
    head = head_of(first[-1])
    entries = entries_for(decoded, head)
    assert lines(entries) == [("action", 1, 6), ("action", 2, 8), ("action", 3, 11)]
    for stored in range(len(entries)):
        assert entries_for(decoded, head_of(entries[stored])) == entries[stored + 1 :]
    assert lines(recorded(stream.insert(*folded, score=6))) == [("action", 1, 1), ("action", 2, 3), ("action", 3, 6)]


@pytest.mark.parametrize("score", [None, 1.5, "9", True, {"x": 1}])
def test_malformed_score_makes_an_external_entry(stream, score):
    head = head_of(recorded(stream.insert(action(), score=5))[-1])
    (entry,) = recorded(stream.update(score=score), head=head)
    assert (entry.kind, entry.points) == (EntryKind.EXTERNAL, 0)
    assert "whole number" in entry.reason


@pytest.mark.parametrize("removed", ["score", "seq"])
def test_removed_score_or_number_makes_an_external_entry(stream, removed):
    head = head_of(recorded(stream.insert(action(), score=5))[-1])
    (entry,) = recorded(stream.update(removed=[removed]), head=head)
    assert entry.kind is EntryKind.EXTERNAL


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "[]",
        "x",
        '["z",5,"write_id"]',
        '["a",5,""]',
        f'["a",{2**64},"write_id"]',
        '["a","5","write_id"]',
        "[" * 2000,
    ],
)
def test_malformed_history_entry_makes_an_external_entry(stream, entry):
    (found,) = recorded(stream.insert(entry, score=5))
    assert (found.kind, found.points) == (EntryKind.EXTERNAL, 5)


def test_history_entry_without_a_score_makes_an_external_entry_without_points(stream):
    head = head_of(recorded(stream.insert(action(), score=5))[-1])
    (entry,) = recorded(stream.update(action(100, "b")), head=head)
    assert (entry.kind, entry.points) == (EntryKind.EXTERNAL, 0)


def test_copied_history_entry_makes_an_external_entry(stream):
    entries = recorded(stream.insert(action(), score=5))
    decoded = ledger_event_of(stream.update(action(), score=10))
    (entry,) = entries_for(decoded, head_of(entries[-1]), {("op-1", decoded.version)})
    assert (entry.kind, entry.points) == (EntryKind.EXTERNAL, 5)
    assert entries_for(decoded, head_of(entry), {("op-1", decoded.version)}) == []


def test_deleted_player_makes_an_external_entry_of_the_remaining_points(stream):
    entries = recorded(stream.insert(action(), score=5), stream.delete(), stream.insert(action(3, "b"), score=3))
    assert lines(entries) == [("action", 5, 5), ("external", -5, 0), ("action", 3, 3)]
    assert recorded(stream.delete()) == []


def test_deleted_player_with_the_lowest_score_makes_two_entries(stream):
    low = INT64[0]
    entries = recorded(stream.insert(action(low), score=low), stream.delete())
    assert lines(entries) == [("action", low, low), ("external", INT64[-1], -1), ("external", 1, 0)]


def test_folded_entries_whose_sum_leaves_int64_in_between_are_external(stream):
    high = INT64[-1]
    entries = recorded(stream.insert(action(high), score=high))
    forged = stream.update(action(high, "b"), action(-high, "c"), score=high)
    (entry,) = recorded(forged, head=head_of(entries[-1]))[:1] or recorded(stream.update(score=high - 1))
    assert entry.kind is EntryKind.EXTERNAL


def test_entries_of_scores_at_the_limits_of_int64_stay_within_them(stream):
    low, high = INT64[0], INT64[-1]
    entries = recorded(stream.insert(action(), score=high), stream.update(score=low), stream.update(score=low + 1))
    assert all(entry.points in INT64 and entry.score in INT64 for entry in entries)
    assert entries[-1].score == low + 1


def test_entry_of_a_history_entry_without_a_valid_time_has_the_databases_time(stream):
    for at in (0, -1, 10**18):
        (entry,) = recorded(stream.insert(HistoryEntry(WriteKind.ACTION, 5, "a", at=at), score=5))
        assert entry.at == stream.now * 1000


@pytest.mark.parametrize("at", [0, 1, AT + 1, 8_615_030_400_001, 253_402_300_799_999])
def test_entry_is_read_from_its_document_with_the_same_time_and_hash(at):
    written = with_hash(
        Entry(write_id="w", player="alice", n=1, kind=EntryKind.ACTION, points=5, score=5, at=at, version=1), b""
    )
    assert entry_of_document(bson.decode(bson.encode(document(written)), codec_options=TOLERANT)) == written


def test_event_of_a_document_without_a_user_id_makes_no_entry(stream):
    event = stream.insert(action(), score=5)
    for key in (7, None, "", {"x": 1}):
        assert ledger_event_of(event | {"documentKey": {"_id": key}}) is None


def test_chain_head_is_read_from_a_malformed_entry(stream):
    (entry,) = recorded(stream.insert(action(), score=5))
    whole = document(entry)
    assert head_in(whole) == head_of(entry)
    for name in ("hash", "version", "at", "kind", "player"):
        for junk in (None, [], {"$gt": ""}, 1.5):
            broken = head_in(whole | {name: junk})
            assert (broken.n, broken.score, broken.write_id) == (1, 5, "op-1")
