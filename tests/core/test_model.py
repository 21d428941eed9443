"""The values: times in text form, ranks of the board, the identity of an installation."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_app.core.model import Owner, Player, rfc3339, standings

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECONDS = st.datetimes().map(lambda moment: (moment.replace(tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1))


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1_767_323_045_678, "2026-01-02T03:04:05.678Z"),
        (1_767_323_045_007, "2026-01-02T03:04:05.007Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_rfc3339_is_in_utc_with_milliseconds(ms, text):
    assert rfc3339(ms) == text


@given(MILLISECONDS)
def test_rfc3339_keeps_every_millisecond(ms):
    assert datetime.fromisoformat(rfc3339(ms)) == EPOCH + timedelta(milliseconds=ms)


def test_standings_share_a_rank_for_equal_scores_and_skip_the_next():
    players = [Player(str(number), score, 0, "") for number, score in enumerate([9, 7, 7, 7, 5])]
    assert [standing.rank for standing in standings(players)] == [1, 2, 2, 2, 5]
    assert [standing.player for standing in standings(players)] == players


def test_standings_of_an_empty_board_are_empty():
    assert standings([]) == ()


def test_owner_is_parsed_with_its_uid_and_shown_without():
    owner = Owner.parse("games/board/1234-abcd")
    assert owner == Owner("games", "board", "1234-abcd")
    assert str(owner) == "games/board"
