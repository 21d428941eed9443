"""Which Leaderboard has which database."""

from __future__ import annotations

import pytest

from leaderboard_operator.claims import Claim, Claims, database

A, B, C = ("games", "a"), ("games", "b"), ("other", "a")


@pytest.mark.parametrize(
    ("uri", "same"),
    [
        ("mongodb://other:secret@one:27017,two:27017/?replicaSet=rs0", True),
        ("mongodb://TWO:27017,one:27017", True),
        ("mongodb://one:27017", False),
        ("mongodb+srv://one", False),
    ],
)
def test_a_database_is_known_by_its_servers_and_its_name(uri, same):
    first = database("mongodb://user:password@one:27017,two:27017/admin", "arcade")
    assert (database(uri, "arcade") == first) is same
    assert database(uri, "other") != first


def test_the_older_one_keeps_it_whoever_comes_first():
    claims = Claims()
    assert claims.put(Claim("2026-01-02", B, "x")) == set()
    assert claims.rival(B) == ""
    assert claims.put(Claim("2026-01-01", A, "x")) == {B}
    assert (claims.rival(A), claims.rival(B)) == ("", "games/a")
    assert claims.put(Claim("2026-01-01", C, "y")) == set()
    assert claims.rival(C) == ""


def test_of_equally_old_ones_the_first_by_name_keeps_it():
    claims = Claims()
    for key in (C, B, A):
        claims.put(Claim("2026-01-01", key, "x"))
    assert [claims.rival(key) for key in (A, B, C)] == ["", "games/a", "games/a"]


def test_what_is_given_up_is_free_and_the_others_hear_of_it():
    claims = Claims()
    for key in (A, B):
        claims.put(Claim("2026-01-01", key, "x"))
    assert claims.put(Claim("2026-01-01", A, "x")) == set()
    assert claims.put(Claim("2026-01-01", A, "y")) == {B}
    assert claims.rival(B) == ""
    claims.put(Claim("2026-01-01", A, "x"))
    assert claims.drop(A) == {B}
    assert claims.rival(B) == ""
    assert claims.drop(A) == set()
