"""Events of the players' change stream: decoding, and their change of the board."""

from datetime import UTC, datetime

import pytest
from bson import Int64, ObjectId, Timestamp
from bson.datetime_ms import DatetimeMS
from msgspec import UNSET

from tornado_app.core.interfaces import Change
from tornado_app.mongo.change_stream.events import BoardChanges, HistoryLost, PlayerEvent, decode
from tornado_app.mongo.client.cluster_time import cluster_time_to_int
from tornado_app.mongo.players import write_marker
from tornado_app.mongo.players.write_marker import Kind, WriteMarker

TIME = Timestamp(1_800_000_000, 7)
VERSION = cluster_time_to_int(TIME)
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
NOON_MS = 1_767_355_200_000
TOKEN = {"_data": "82"}


def event(kind, player="alice", **more):
    return {"_id": TOKEN, "operationType": kind, "documentKey": {"_id": player}, "clusterTime": TIME, **more}


def update(removed=(), **fields):
    return event("update", updateDescription={"updatedFields": fields, "removedFields": list(removed)})


def marker(kind=Kind.ACTION, points=5, write_id="w.1", **more):
    return WriteMarker(kind, points, write_id, **more)


def text(*arguments, **more):
    return write_marker.encode(marker(*arguments, **more))


def test_decode_an_update():
    assert decode(update(["hidden"], last=text(), score=Int64(15), updatedAt=NOON)) == PlayerEvent(
        "update", "alice", VERSION, 1_800_000_000_000, frozenset({"hidden", "last", "score", "updatedAt"}),
        text(), marker(), 15, NOON, token=TOKEN,
    )  # fmt: skip


def test_decode_an_insert():
    fields = {"last": text(), "score": 5, "updatedAt": NOON, "hidden": True}
    assert decode(event("insert", fullDocument=fields)) == PlayerEvent(
        "insert", "alice", VERSION, 1_800_000_000_000, frozenset(fields), text(), marker(), 5, NOON, hidden=True,
        token=TOKEN,
    )  # fmt: skip


def test_decode_a_delete():
    assert decode(event("delete")) == PlayerEvent("delete", "alice", VERSION, 1_800_000_000_000, token=TOKEN)


def test_decode_distinguishes_unset_and_malformed_fields():
    unset, unusable = decode(update(removed=["score", "last"])), decode(update(score=1.5, last="mine", updatedAt=7))
    assert (unset.last, unset.marker, unset.score, unset.updated_at) == (UNSET, None, UNSET, None)
    assert (unusable.last, unusable.marker, unusable.score, unusable.updated_at) == ("mine", None, None, None)
    assert (type(decode(update(score=Int64(5))).score), decode(update(score=True)).score) == (int, None)


@pytest.mark.parametrize("key", [7, None, {"a": 1}, ObjectId("6b0c00000000000000000001")], ids=str)
def test_decode_skips_documents_without_a_user_id(key):
    assert decode(event("insert", key, fullDocument={"score": 1})) is None


@pytest.mark.parametrize("kind", ["drop", "rename", "invalidate", "dropDatabase", "shardCollection"])
def test_decode_raises_history_lost_for_events_of_the_collection(kind):
    with pytest.raises(HistoryLost, match=kind):
        decode({"operationType": kind})


def change(old, new, at=0, write_id=""):
    return Change("alice", old, new, VERSION, at, write_id)


ON_BOARD = {
    "an action": (update(last=text(), score=15, updatedAt=NOON), change(10, 15, NOON_MS, "w.1")),
    "a take-back": (update(last=text(Kind.TAKE_BACK, -5), score=10), change(15, 10, 0, "w.1")),
    "a first action": (
        event("insert", fullDocument={"last": text(), "score": 5, "updatedAt": NOON}),
        change(None, 5, NOON_MS, "w.1"),
    ),
    "a player that another program inserts": (
        event("insert", fullDocument={"score": 5, "updatedAt": NOON}),
        change(None, 5, NOON_MS),
    ),
    "an action on a score that is no integer": (update(last=text(), score=6.5), change(None, None, 0, "w.1")),
    "hide": (update(last=text(Kind.HIDE, 15), hidden=True), change(15, None)),
    "show": (update(["hidden"], last=text(Kind.SHOW, 15)), change(None, 15)),
    "erase": (update(last=text(Kind.ERASE, 15), hidden=True), change(15, None)),
    "a new profile": (update(last=text(Kind.PROFILE, 0), ownUsername="Zoë"), change(None, None)),
    "a new name from the token": (update(username="Zoë"), change(None, None)),
    "a removed name": (update(["username"]), change(None, None)),
}

OFF_BOARD = {
    "an action of a hidden player": update(last=text(on_board=False), score=15),
    "a suspension": update(last=text(Kind.SUSPEND, 0)),
    "a hidden player": event("insert", fullDocument={"score": 5, "updatedAt": NOON, "hidden": True}),
    "no time": event("insert", fullDocument={"score": 5}),
    "a time past the year 9999": event("insert", fullDocument={"score": 5, "updatedAt": DatetimeMS(2**53)}),
    "a removed marker": update(["last"]),
    "no watched field": update(),
}

LOST = {
    "a score without a marker": update(score=7),
    "a time without a marker": update(updatedAt=NOON),
    "hidden without a marker": update(hidden=True),
    "a marker of another program": update(last="mine", score=7),
    "a marker that is no text": update(last=7, score=7),
    "an action without a score": update(last=text()),
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
    changes.change(decode(update(last=text(Kind.ERASE, 15), hidden=True)))
    assert changes.change(decode(event("delete"))) is None
    with pytest.raises(HistoryLost):
        changes.change(decode(event("delete")))
