"""Settings decide which claims of a token are read, and what they mean."""

from __future__ import annotations

import pytest

from tests.support.clock import Clock
from tests.support.forgery import claims, forge, signing
from tornado_app.auth.keys import KeySet
from tornado_app.auth.minting import mint
from tornado_app.auth.tokens import TokenVerifier
from tornado_app.core.errors import InvalidToken
from tornado_app.core.model import Caller, Profile
from tornado_app.core.policies import ClaimNames

KEY = signing("HS256")


def caller(token: str, *, audience=(), **names) -> Caller:
    check = TokenVerifier(
        KeySet([KEY.public]), audience=audience, issuer=None, names=ClaimNames(**names), clock=Clock()
    )  # fmt: skip
    return check.verify(token)


@pytest.mark.parametrize(
    ("user", "found"),
    [
        ("uid", {"uid": "00u1", "sub": "ann@example.com"}),
        ("https://example.com/player", {"https://example.com/player": "00u1"}),
        ("/ids/game~1eu", {"ids": {"game/eu": "00u1"}}),
        ("/ids/game", {"/ids/game": "00u1", "ids": {"game": "other"}}),
        ("oid", {"oid": "00u1", "sub": 7, "user_id": "another"}),
    ],
)
def test_user_claim_may_be_any_claim_or_pointer(user, found):
    assert caller(forge(KEY, claims(**found)), user=user).user_id == "00u1"


@pytest.mark.parametrize(
    ("user", "found"),
    [
        ("uid", {}),
        ("uid", {"uid": None}),
        ("uid", {"uid": 7}),
        ("uid", {"uid": " a"}),
        ("/ids/game", {"ids": ["game"]}),
        ("/ids/game", {"ids": {"game": {"a": 1}}}),
        ("/", {}),
        ("UID", {"uid": "00u1"}),
    ],
)
def test_user_claim_without_a_user_id_is_refused_for_any_sub(user, found):
    with pytest.raises(InvalidToken) as refusal:
        caller(forge(KEY, claims(**found)), user=user)
    assert (refusal.value.reason, user in refusal.value.text) == ("user_id", True)


@pytest.mark.parametrize(
    ("names", "found", "username"),
    [
        (("handle", "name"), {"handle": "Annie", "name": "Ann Smith"}, "Annie"),
        (("handle", "name"), {"handle": 7, "name": "Ann Smith"}, "Ann Smith"),
        (("handle", "name"), {"handle": "ann@example.com", "name": "Ann Smith"}, "Ann Smith"),
        (("/profile/nick",), {"profile": {"nick": "Annie"}}, "Annie"),
        (("handle",), {"name": "Ann Smith", "nickname": "Annie"}, None),
        ((), {"name": "Ann Smith", "nickname": "Annie"}, None),
    ],
)
def test_name_claims_are_read_in_their_configured_order(names, found, username):
    assert caller(forge(KEY, claims(**found)), names=names).profile.username == username


@pytest.mark.parametrize(
    ("picture", "shown"),
    [
        ("https://img.example/ann.png", True),
        ("https://img.example/avatar?mail=ann@example.com", False),
        ("https://img.example/avatar?mail=ANN%40example.com", False),
        ("https://img.example/@ann/2x@2x.png", True),
    ],
)
def test_picture_url_with_the_email_address_is_dropped(picture, shown):
    found = claims(picture=picture, email="ann@example.com")
    assert caller(forge(KEY, found)).profile == Profile(None, picture if shown else None)


WRITE, ADMIN = "scores:write", "leaderboard:admin"


@pytest.mark.parametrize(
    ("names", "found", "scopes"),
    [
        ({}, {"scp": "openid scores:write"}, {WRITE}),
        ({}, {"scp": ["scores:write", "leaderboard:admin"]}, {WRITE, ADMIN}),
        ({}, {"scope": "scores:write", "scp": ["leaderboard:admin"]}, {WRITE, ADMIN}),
        ({}, {"scope": None, "scp": ["leaderboard:admin"]}, {ADMIN}),
        ({}, {"permissions": ["scores:write"], "roles": ["leaderboard:admin"]}, set()),
        ({"scopes": ("permissions",)}, {"permissions": ["scores:write"], "scope": "leaderboard:admin"}, {WRITE}),
        ({"scopes": ("/realm_access/roles",)}, {"realm_access": {"roles": ["a", "scores:write"]}}, {WRITE}),
        ({"write_scopes": ("leaderboard/scores:write",)}, {"scope": "leaderboard/scores:write"}, {WRITE}),
        ({"write_scopes": ("leaderboard/scores:write",)}, {"scope": "scores:write"}, set()),
        ({"write_scopes": ("a", "b")}, {"scope": "b"}, {WRITE}),
        ({"admin_scopes": ("Board Moderator",)}, {"scp": ["Board Moderator"]}, {ADMIN}),
        ({"admin_scopes": ("Board Moderator",)}, {"scope": "Board Moderator"}, set()),
        ({"write_scopes": (), "admin_scopes": ()}, {"scope": "scores:write leaderboard:admin"}, set()),
        ({"write_scopes": ("",)}, {"scope": "openid"}, set()),
    ],
)
def test_scope_claims_grant_by_the_configured_names(names, found, scopes):
    assert caller(forge(KEY, claims(**found)), **names).scopes == scopes


@pytest.mark.parametrize("value", [{"scores:write": True}, 7, True, ["scores:write", 7]])
def test_scope_claim_of_another_type_is_refused_by_its_name(value):
    with pytest.raises(InvalidToken, match="The claim scp must be") as refusal:
        caller(forge(KEY, claims(scp=value)))
    assert refusal.value.reason == "scope_claim"


@pytest.mark.parametrize(
    ("audiences", "found", "good"),
    [
        (("aud",), {"aud": "game"}, True),
        (("aud",), {"aud": ["x", "leaderboard"]}, True),
        (("aud",), {"aud": "shop"}, False),
        (("aud",), {"aud": ..., "client_id": "game"}, False),
        (("aud", "client_id"), {"aud": ..., "client_id": "game"}, True),
        (("client_id",), {"aud": "game"}, False),
        (("azp",), {"aud": ..., "azp": "game"}, True),
        (("azp",), {"azp": {"game": 1}}, False),
        (("azp",), {"azp": None}, False),
    ],
)
def test_audience_is_one_of_several_in_one_of_the_claims(audiences, found, good):
    token = forge(KEY, claims(**found))
    if good:
        assert caller(token, audience=("leaderboard", "game"), audiences=audiences).user_id == "ann"
    else:
        with pytest.raises(InvalidToken):
            caller(token, audience=("leaderboard", "game"), audiences=audiences)


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"user": "https://example.com/player", "names": ("handle",), "scopes": ("permissions",)},
        {"user": "/ids/game", "scopes": ("/realm_access/roles",), "audiences": ("client_id", "aud")},
        {"write_scopes": ("leaderboard/scores:write", "x"), "admin_scopes": ("Board Moderator",)},
    ],
)
def test_minted_token_is_read_by_the_same_settings(names):
    token = mint(
        KEY, sub="ann smith", ttl=60, name="Zoë", scopes=[WRITE, ADMIN], audience="game", names=ClaimNames(**names),
        clock=Clock(),
    )  # fmt: skip
    found = caller(token, audience=("leaderboard", "game"), **names)
    assert (found.user_id, found.profile.username, found.scopes) == ("ann smith", "Zoë", {WRITE, ADMIN})


def test_user_ids_that_are_email_addresses_are_logged_once(caplog):
    check = TokenVerifier(KeySet([KEY.public]), audience=None, issuer=None, clock=Clock())
    check.verify(forge(KEY, claims(sub="auth0|5f7c")))
    check.verify(forge(KEY, claims(sub="SFRq3eyU0LZ4kbKv@clients", scope=WRITE)))
    assert not caplog.records
    for sub in ("ann@example.com", "bob@example.com"):
        assert check.verify(forge(KEY, claims(sub=sub))).user_id == sub
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "set jwt_user_claim" in caplog.text
    assert "ann@" not in caplog.text
