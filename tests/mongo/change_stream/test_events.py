"""Events of the players' change stream: decoding, and their change of the board."""

from datetime import UTC, datetime

import pytest
from bson import Int64, ObjectId, Timestamp, json_util
from bson.datetime_ms import DatetimeMS
from pymongo import MongoClient

from tornado_app.core.history import HistoryEntry, WriteKind, encode
from tornado_app.core.interfaces import Change
from tornado_app.mongo.change_stream.events import (
    OTHER,
    RANKED,
    SCORE,
    SEQ,
    WATCHED,
    BoardChanges,
    HistoryLost,
    PlayerEvent,
    decode,
)
from tornado_app.mongo.client.cluster_time import cluster_time_to_int
from tornado_app.mongo.ledger.reader import LEDGER

TIME = Timestamp(1_800_000_000, 7)
VERSION = cluster_time_to_int(TIME)
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
NOON_MS = 1_767_355_200_000


def event(kind, player="alice", **more):
    return {
        "operationType": kind, "documentKey": {"_id": player}, "clusterTime": TIME, "ns": {"coll": "players"}, **more,
    }  # fmt: skip


def update(removed=(), **fields):
    return event("update", updateDescription={"updatedFields": fields, "removedFields": list(removed)})


def entry(kind=WriteKind.ACTION, points=5, write_id="w.1", **more):
    return HistoryEntry(kind, points, write_id, **more)


def text(*arguments, **more):
    return encode(entry(*arguments, **more))


def write(*arguments, **more):
    """The members that a write of the service sets, the seventh of its player."""
    return {"seq": 7, "h.7": text(*arguments, **more)}


def first(*arguments, **more):
    """Those of the write that makes the player."""
    return {"seq": 1, "h": {"1": text(*arguments, **more)}}


def test_decode_an_update():
    assert decode(update(["hidden", "h.2"], **write(), score=Int64(15), updatedAt=NOON)) == PlayerEvent(
        "update", "alice", VERSION,
        SCORE | SEQ | RANKED | OTHER, 7, (entry(),), 15, NOON_MS,
    )  # fmt: skip


def test_decode_an_insert():
    fields = {**first(), "score": 5, "updatedAt": NOON, "hidden": True}
    assert decode(event("insert", fullDocument=fields)) == PlayerEvent(
        "insert", "alice", VERSION, SCORE | SEQ | RANKED | OTHER, 1, (entry(),), 5, NOON_MS, hidden=True,
    )  # fmt: skip


def test_decode_folded_actions_oldest_first():
    texts = {f"h.{number}": text(write_id=f"w.{number}") for number in (9, 10, 11)}
    decoded = decode(update(seq=11, score=15, **texts))
    assert ([each.write_id for each in decoded.entries], decoded.points) == (["w.9", "w.10", "w.11"], 15)
    new = {"seq": 2, "h": {"1": text(write_id="w.1"), "2": text(write_id="w.2")}, "score": 10, "updatedAt": NOON}
    assert [each.write_id for each in decode(event("insert", fullDocument=new)).entries] == ["w.1", "w.2"]


def test_decode_takes_only_the_last_entry_of_a_copied_document():
    copied = {"seq": 9, "h": {"8": text(write_id="w.8"), "9": text(write_id="w.9")}, "score": 10}
    assert [each.write_id for each in decode(event("insert", fullDocument=copied)).entries] == ["w.9"]


def test_decode_a_delete():
    deleted = decode(event("delete"))
    assert deleted == PlayerEvent("delete", "alice", VERSION)
    assert deleted.time == 1_800_000_000_000
    kart = decode(event("delete", ns={"coll": "players.kart"}))
    assert kart == PlayerEvent("delete", "alice", VERSION, board="kart")


def test_decode_reads_no_malformed_fields():
    removed = decode(update(removed=["score"], **write()))
    assert (removed.seq, removed.entries, removed.score, removed.updated_at) == (7, (), None, None)
    for fields in ({"seq": "7", "h.7": text()}, {"seq": 7, "h.7": "mine"}, {"seq": 7, "h.6": text()}, {"seq": True}):
        unusable = decode(update(score=1.5, updatedAt=7, **fields))
        assert (unusable.entries, unusable.score, unusable.updated_at) == ((), None, None)
    assert (type(decode(update(score=Int64(5))).score), decode(update(score=True)).score) == (int, None)


@pytest.mark.parametrize("key", [7, None, {"a": 1}, ObjectId("6b0c00000000000000000001")], ids=str)
def test_decode_skips_documents_without_a_user_id(key):
    assert decode(event("insert", key, fullDocument={"score": 1})) is None


@pytest.mark.parametrize("name", ["other", "players.", "players.main", "players.Kart", "players.a.b", "players.kart\n"])
def test_decode_skips_the_collections_of_no_board(name):
    assert decode(event("insert", ns={"coll": name}, fullDocument={"score": 1})) is None


@pytest.mark.parametrize("kind", ["invalidate", "dropDatabase", "shardCollection"])
def test_decode_raises_history_lost_for_events_of_the_database(kind):
    with pytest.raises(HistoryLost, match=kind):
        decode({"operationType": kind})


def collection_event(kind, **names):
    return {"operationType": kind, "clusterTime": TIME, **{name: {"coll": coll} for name, coll in names.items()}}


@pytest.mark.parametrize(
    ("names", "board"),
    [
        ({"ns": "players"}, "main"),
        ({"ns": "players.kart"}, "kart"),
        ({"ns": "players.kart", "to": "elsewhere"}, "kart"),
        ({"ns": "elsewhere", "to": "players.kart"}, "kart"),
    ],
    ids=str,
)
def test_decode_an_event_of_a_collection_is_of_its_board(names, board):
    kind = "rename" if "to" in names else "drop"
    decoded = decode(collection_event(kind, **names))
    assert decoded == PlayerEvent(kind, "", VERSION, board=board)
    assert decoded.ends_history
    assert not decode(event("delete")).ends_history


def test_decode_raises_history_lost_for_a_board_renamed_to_another():
    with pytest.raises(HistoryLost, match="rename"):
        decode(collection_event("rename", ns="players.kart", to="players"))


def test_decode_skips_the_end_of_a_collection_of_no_board():
    assert decode(collection_event("rename", ns="players.Kart", to="elsewhere")) is None


def test_server_excludes_the_ledger_as_it_reads_the_oplog(mongo_database):
    """Otherwise it makes an event of each entry, which costs it as much as a player's. It evaluates no expression."""
    uri, name = mongo_database
    command = {"aggregate": 1, "pipeline": [{"$changeStream": {}}, *WATCHED], "cursor": {}}
    with MongoClient(uri) as client:
        client[name]["players"].insert_one({"_id": "alice"})
        plan = client[name].command({"explain": command, "verbosity": "queryPlanner"})
    read = json_util.dumps(plan["stages"][0]["$cursor"]["queryPlanner"]["parsedQuery"])
    assert LEDGER in read
    assert "$expr" not in read


def change(old, new, at=0, *write_ids):
    return Change("alice", old, new, VERSION, at, write_ids)


ON_BOARD = {
    "an action": (update(**write(), score=15, updatedAt=NOON), change(10, 15, NOON_MS, "w.1")),
    "a take-back": (update(**write(WriteKind.TAKE_BACK, -5), score=10), change(15, 10, 0, "w.1")),
    "a first score of a registered player": (
        update(**write(points=-5, submitted=-5), score=-5, updatedAt=NOON),
        change(None, -5, NOON_MS, "w.1"),
    ),
    "a better score": (
        update(**write(points=-3, submitted=7, before=10), score=7, updatedAt=NOON),
        change(10, 7, NOON_MS, "w.1"),
    ),
    "a score that is no better": (update(**write(points=0, submitted=12, before=10)), change(None, None)),
    "a take-back of the only score": (update(["score"], **write(WriteKind.TAKE_BACK, -15)), change(15, None)),
    "a take-back of the only score, 0": (update(["score"], **write(WriteKind.TAKE_BACK, 0)), change(0, None)),
    "a take-back that leaves the score": (update(**write(WriteKind.TAKE_BACK, 0)), change(None, None)),
    "a first action": (
        event("insert", fullDocument={**first(), "score": 5, "updatedAt": NOON}),
        change(None, 5, NOON_MS, "w.1"),
    ),
    "a player that another program inserts": (
        event("insert", fullDocument={"score": 5, "updatedAt": NOON}),
        change(None, 5, NOON_MS),
    ),
    "an action on a score that is no integer": (update(**write(), score=6.5), change(None, None)),
    "hide": (update(**write(WriteKind.HIDE, 15), hidden=True), change(15, None)),
    "show": (update(["hidden"], **write(WriteKind.SHOW, 15)), change(None, 15)),
    "erase": (update(**write(WriteKind.ERASE, 15), hidden=True), change(15, None)),
    "a new profile": (update(**write(WriteKind.PROFILE, 0), ownUsername="Zoë"), change(None, None)),
    "a new name from the token": (update(username="Zoë"), change(None, None)),
    "a removed name": (update(["username"]), change(None, None)),
}

OFF_BOARD = {
    "an action of a hidden player": update(**write(on_board=False), score=15),
    "a suspension": update(**write(WriteKind.SUSPEND, 0)),
    "a hidden player": event("insert", fullDocument={"score": 5, "updatedAt": NOON, "hidden": True}),
    "no time": event("insert", fullDocument={"score": 5}),
    "a time past the year 9999": event("insert", fullDocument={"score": 5, "updatedAt": DatetimeMS(2**53)}),
    "a removed history entry": update(["h.4"]),
    "no watched field": update(),
    "a player without a score who is hidden": update(**write(WriteKind.HIDE, 0, on_board=False), hidden=True),
}

LOST = {
    "a score without a history entry": update(score=7),
    "a time without a history entry": update(updatedAt=NOON),
    "hidden without a history entry": update(hidden=True),
    "a history entry of another program": update(seq=7, **{"h.7": "mine"}, score=7),
    "a history entry that is no text": update(seq=7, **{"h.7": 7}, score=7),
    "a number without a history entry": update(seq=7),
    "an action without a score": update(**write()),
    "a removed score": update(["score"]),
    "a replacement": event("replace", fullDocument={"score": 7}),
    "a delete without an erasure": event("delete"),
}


@pytest.mark.parametrize(("raw_event", "expected"), ON_BOARD.values(), ids=ON_BOARD)
def test_board_changes_of_an_event(raw_event, expected):
    assert BoardChanges().change(decode(raw_event)) == expected


@pytest.mark.parametrize("raw_event", OFF_BOARD.values(), ids=OFF_BOARD)
def test_board_changes_of_an_event_off_the_board_are_none(raw_event):
    assert BoardChanges().change(decode(raw_event)) is None


@pytest.mark.parametrize("raw_event", LOST.values(), ids=LOST)
def test_board_changes_raise_history_lost_for_external_writes(raw_event):
    with pytest.raises(HistoryLost):
        BoardChanges().change(decode(raw_event))


def test_board_changes_expect_one_delete_after_an_erasure():
    changes = BoardChanges()
    changes.change(decode(update(**write(WriteKind.ERASE, 15), hidden=True)))
    assert changes.change(decode(event("delete"))) is None
    with pytest.raises(HistoryLost):
        changes.change(decode(event("delete")))
