"""The token limit is the same in a header, in a handshake's query and header, and in a socket's first message.

Keycloak with 120 roles makes one of 4.5 KB.
"""

import json
import secrets
from contextlib import contextmanager

import pytest

from tests.support.forgery import b64
from tests.support.service import KEY, token
from tests.support.websocket_client import add, new_user, opened, register
from tornado_app.auth.keys import signing_secret
from tornado_app.auth.minting import mint
from tornado_app.core.identity import MAX_TOKEN

PROOF_KEY = secrets.token_urlsafe(40)


@pytest.fixture(scope="module")
def service(run_service, module_database):
    """A service that verifies action proofs."""
    uri, name = module_database
    return run_service(uri=uri, database=name, env={"LEADERBOARD_PROOF_KEY": PROOF_KEY})


def padded(user, size=MAX_TOKEN):
    """A valid token of about this size: base64url does not have a text of every length."""
    plain = len(mint(signing_secret(KEY), sub=user, ttl=600, issuer="x"))
    for room in range((size - plain) * 3 // 4 + 2, 0, -1):
        try:
            text = mint(signing_secret(KEY), sub=user, ttl=600, issuer="x" * room)
        except ValueError:
            continue
        if len(text) <= size:
            return text
    raise AssertionError("no such token")


def too_long(user):
    good = token(user)
    head, claims, signature = good.split(".")
    return f"{head}.{claims}{'A' * (MAX_TOKEN + 1 - len(good))}.{signature}"


@contextmanager
def authenticated(service, text, open_as):
    """A socket that was authenticated in one of the three ways."""
    query = f"?token={text}" if open_as == "query" else ""
    headers = {"Authorization": f"Bearer {text}"} if open_as == "header" else None
    with opened(service, f"/ws/leaderboard{query}", headers=headers) as socket:
        if open_as == "message":
            socket.send(json.dumps({"type": "authenticate", "token": text}))
        yield socket


def test_token_of_the_maximum_size_is_accepted_everywhere(service):
    user = register(service)
    large = padded(user)
    assert MAX_TOKEN - 4 <= len(large) <= MAX_TOKEN
    assert service.get("/api/leaderboard", token=large).json["userRank"]["score"] == 0
    assert service.post("/api/score", {"score": 1}, token=large).status == 200
    for open_as in ("header", "query", "message"):
        with authenticated(service, large, open_as) as socket:
            socket.client.ping().wait(10)
            add(service, user, 1)
            socket.read_until(lambda message: message["type"] == "user.scoreUpdate")


def test_token_over_the_limit_is_refused_and_the_error_names_the_limit(service):
    large = too_long(new_user())
    assert len(large) == MAX_TOKEN + 1
    for answer in (
        service.get("/api/leaderboard", token=large),
        service.post("/api/score", {"score": 1}, token=large),
    ):
        assert (answer.status, answer.json["error"]) == (401, "invalid_token")
        assert answer.json["message"] == f"The token has {len(large)} characters; at most {MAX_TOKEN} are accepted."
    for open_as in ("header", "query", "message"):
        with authenticated(service, large, open_as) as socket:
            assert socket.ended() == (4401, "invalid_token")


def test_token_and_proof_of_the_maximum_size_fit_into_the_headers(service):
    """Beside what a browser sends."""
    user = register(service)
    browser = {
        "User-Agent": "Mozilla/5.0 " + "x" * 200,
        "Accept-Language": "en-GB,en;q=0.9",
        "Referer": "https://game.example/" + "x" * 500,
    }
    headers = {"Action-Proof": f"{b64(b'{}')}.{'A' * (MAX_TOKEN - 9)}.AAAA", **browser}
    answer = service.post("/api/score", {"score": 1}, token=padded(user), headers=headers)
    assert (answer.status, answer.json["error"]) == (403, "invalid_action_proof")
    headers["Action-Proof"] += "AA"
    answer = service.post("/api/score", {"score": 1}, token=padded(user), headers=headers)
    assert f"at most {MAX_TOKEN} are accepted" in answer.json["message"]


@pytest.mark.parametrize("size", [4500, 6000])
def test_token_with_many_roles_scores(service, size):
    user = register(service)
    assert service.post("/api/score", {"score": 1}, token=padded(user, size)).status == 200
