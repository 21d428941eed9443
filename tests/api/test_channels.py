"""Socket messages of each frontend for a change of the top 10. Source: the API contract, section 4."""

import json

import pytest

from tornado_app.api.frontends.a import ScoreChannel
from tornado_app.api.frontends.b import ScoreboardChannel
from tornado_app.api.frontends.c import LeaderboardChannel
from tornado_app.core.model import Player, TopPlayers, standings
from tornado_app.live.hub import PersonalUpdate

C = LeaderboardChannel()
EMPTY = {"userId": None, "username": None, "avatarUrl": None, "score": None, "rank": None}


def player(name, score):
    return Player(name, score, 1_767_323_045_678, f"{name.title()} 🦊", f"https://x.test/{name}.png")


def top(version, **scores):
    return TopPlayers(version, standings([player(name, score) for name, score in scores.items()]))


def place(position, name, score, rank):
    return {
        "userId": name, "username": f"{name.title()} 🦊", "avatarUrl": f"https://x.test/{name}.png", "score": score,
        "rank": rank, "position": position,
    }  # fmt: skip


def changed(seen, now):
    message = json.loads(C.message(seen, now))
    assert set(message) == {"type", "data", "version"}
    assert (message["type"], message["version"]) == ("leaderboard.update", now.version)
    return message["data"]["updatedPositions"]


def test_c_first_message_is_the_whole_top_10():
    assert changed(None, top(7, ada=30, bob=20, cy=20)) == [
        place(1, "ada", 30, 1),
        place(2, "bob", 20, 2),
        place(3, "cy", 20, 2),
    ]


def test_c_first_message_of_an_empty_board_is_empty():
    assert changed(None, top(1)) == []


def test_c_later_message_has_only_changed_positions():
    assert changed(top(1, ada=30, bob=20, cy=10), top(2, ada=30, bob=25, cy=10)) == [place(2, "bob", 25, 2)]
    assert changed(top(1, ada=30, bob=20, cy=10), top(2, ada=30, cy=21, bob=20)) == [
        place(2, "cy", 21, 2),
        place(3, "bob", 20, 3),
    ]


def test_c_message_has_a_changed_rank_of_an_unchanged_score():
    assert changed(top(1, ada=30, bob=20), top(2, ada=20, bob=20)) == [place(1, "ada", 20, 1), place(2, "bob", 20, 1)]


def test_c_message_has_a_changed_name():
    before, after = top(1, ada=30, bob=20), top(2, ada=30, bob=20)
    renamed = Player("bob", 20, 1_767_323_045_678, "Robert", None)
    after = TopPlayers(2, standings([after.standings[0].player, renamed]))
    assert changed(before, after) == [
        {"userId": "bob", "username": "Robert", "avatarUrl": None, "score": 20, "rank": 2, "position": 2}
    ]


def test_c_message_has_emptied_positions():
    assert changed(top(1, ada=30, bob=20, cy=10), top(2, ada=30)) == [
        {**EMPTY, "position": 2},
        {**EMPTY, "position": 3},
    ]
    assert changed(top(1, ada=30, bob=20, cy=10), top(2, bob=20, cy=10)) == [
        place(1, "bob", 20, 1),
        place(2, "cy", 10, 2),
        {**EMPTY, "position": 3},
    ]
    assert changed(top(1, ada=30), top(2)) == [{**EMPTY, "position": 1}]


def test_c_messages_applied_in_order_equal_the_board():
    """The positions that a client keeps equal the top 10 after every message."""
    boards = [
        top(1),
        top(2, ada=1),
        top(3, bob=2, ada=1),
        top(4, ada=3, bob=2),
        top(5, bob=2),
        top(6, cy=9, bob=2, ada=1),
    ]
    kept, seen = {}, None
    for board in boards:
        for update in changed(seen, board):
            kept[update["position"]] = update["userId"]
        seen = board
        shown = [kept[n] for n in sorted(kept) if kept[n] is not None]
        assert shown == [standing.player.user_id for standing in board.standings]


def test_a_message_is_the_whole_top_10():
    expected = {
        "event": "leaderboard:update",
        "data": {
            "leaderboard": [
                {
                    "user_id": "ada",
                    "username": "Ada 🦊",
                    "score": 30,
                    "rank": 1,
                    "updated_at": "2026-01-02T03:04:05.678Z",
                },
                {
                    "user_id": "bob",
                    "username": "Bob 🦊",
                    "score": 30,
                    "rank": 1,
                    "updated_at": "2026-01-02T03:04:05.678Z",
                },
            ]
        },
        "version": 2,
    }
    for seen in (None, top(1, ada=30)):
        assert json.loads(ScoreChannel().message(seen, top(2, ada=30, bob=30))) == expected


def test_b_message_is_the_whole_top_10():
    expected = {
        "event": "update",
        "top_scores": [{"user_id": "ada", "username": "Ada 🦊", "score": 2**63 - 1}],
        "version": 2,
    }
    for seen in (None, top(1, ada=30)):
        assert json.loads(ScoreboardChannel().message(seen, top(2, ada=2**63 - 1))) == expected


def test_c_personal_message_has_the_players_change():
    assert json.loads(C.personal(PersonalUpdate(score=42, rank=3, change=5), 9)) == {
        "type": "user.scoreUpdate",
        "data": {"newScore": 42, "leaderboardPosition": 3, "change": 5},
        "version": 9,
    }


@pytest.mark.parametrize("channel", [ScoreChannel(), ScoreboardChannel()])
def test_other_frontends_have_no_personal_message(channel):
    assert channel.personal(PersonalUpdate(42, 3, 5), 9) is None
