"""Messages of frontend C become a board and what changed on it."""

from __future__ import annotations

import pytest

from tests.watch.messages import message, place
from tornado_app.watch.state import Board, Change, NotALeaderboard, Place


def test_first_message_is_the_board_and_later_ones_change_it():
    board = Board()
    first = board.take(message(1, place(1, "ann", 50), place(2, "bob", 40)))
    assert [(change.place.user_id, change.gained, change.climbed) for change in first] == [
        ("ann", None, 0),
        ("bob", None, 0),
    ]
    swapped = board.take(message(2, place(1, "bob", 55), place(2, "ann", 50)))
    assert [(change.place.user_id, change.gained, change.climbed) for change in swapped] == [
        ("bob", 15, 1),
        ("ann", 0, -1),
    ]
    assert [place.user_id for place in board.places.values()] == ["bob", "ann"]


def test_emptied_position_is_removed():
    board = Board()
    board.take(message(1, place(1, "ann", 50), place(2, "bob", 40)))
    assert board.take(message(2, place(2, None))) == [Change(Place(2), None, 0)]
    assert list(board.places) == [1]


def test_stale_message_is_ignored_except_on_a_new_connection():
    board = Board()
    board.take(message(5, place(1, "ann", 50), place(2, "bob", 40)))
    assert board.take(message(4, place(1, "bob", 60))) is None
    board.reconnected()
    assert board.take(message(3, place(1, "ann", 50))) == [Change(Place(2), None, 0)]
    assert list(board.places) == [1]


def test_other_messages_are_ignored_and_malformed_ones_refused():
    board = Board()
    assert board.take('{"type": "user.scoreUpdate", "data": {"newScore": 3}, "version": 1}') is None
    assert not board.seen
    for text in ("hello", "[]", '{"type": 3}', '{"type": "leaderboard.update", "data": {}}', b"\xff"):
        with pytest.raises(NotALeaderboard):
            board.take(text)
