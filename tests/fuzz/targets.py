"""The fuzz targets: each accepts any bytes and asserts the properties of the result.

token, proof: either the text as a stranger sends it (`!` in front), or a header and claims, one to a line, that are
signed here, so that mutations reach what lies behind the signature. body: the frontend's name, a line end, the body.
request: the request's bytes.
"""

from __future__ import annotations

import hmac
import json
import math
import re
import sys
from base64 import urlsafe_b64decode
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec
from tornado.http1connection import HTTP1Connection, parse_int
from tornado.httputil import HTTPHeaders, parse_request_start_line

from tests.support.clock import NOW, Clock
from tests.support.forgery import SECRET, b64, signing
from tornado_app.api.frontends import a, b, c, d, e
from tornado_app.api.rest import moderation, players
from tornado_app.api.schema import Decoder
from tornado_app.auth.jws import MAX_DATE
from tornado_app.auth.keys import KeySet
from tornado_app.auth.minting import mint
from tornado_app.auth.proofs import LIFETIME, ProofVerifier, sign_action
from tornado_app.auth.tokens import TokenVerifier
from tornado_app.core import identity
from tornado_app.core.boards import NAME_PATTERN
from tornado_app.core.errors import (
    ExpiredActionProof,
    ExpiredToken,
    InvalidActionProof,
    InvalidBody,
    InvalidIncrement,
    InvalidJson,
    InvalidToken,
    LeaderboardError,
)
from tornado_app.core.model import MAX_SCORE, Caller, Scope, Submission
from tornado_app.core.validation import fingerprint
from tornado_app.http.fast_path import parse_simple_request
from tornado_app.http.messages import Request
from tornado_app.http.request_checks import check, content_length, is_handshake

KEY = signing("HS256")
MAX_BODY = 16 * 1024
MAX_MESSAGE = 300
"""Characters of a refusal's sentence."""

LAST_YEAR = 9999

STEPS = 600
"""Calls of functions that any input may cost, and `STEPS_A_BYTE` more for each byte."""

STEPS_A_BYTE = 4

_tokens = TokenVerifier(KeySet([KEY.public]), audience="leaderboard", issuer=None, clock=Clock(), cache_size=0)
_proofs = ProofVerifier(KeySet([KEY.public]), clock=Clock())
_decoders: dict[bytes, Decoder[Any]] = {
    b"a": a._decode,
    b"b": b._decode,
    b"c": c._decode,
    b"d": d._decode,
    b"e": e._decode,
    b"profile": Decoder(players.ProfileBody, optional=True),
    b"case": Decoder(moderation.ModerationRequest),
    b"take-back": Decoder(moderation.TakeBack),
}


def counted(call: Callable[[], Any], size: int) -> Any:
    """What `call` returns, in a number of steps that is linear in `size` (bytes); the machine's speed is no part."""
    steps = 0

    def step(frame: Any, event: str, argument: Any) -> None:
        nonlocal steps
        steps += event == "call" or (event == "c_call" and not str(argument.__module__).startswith("atheris"))

    sys.setprofile(step)
    try:
        return call()
    finally:
        sys.setprofile(None)
        assert steps <= STEPS + STEPS_A_BYTE * size, f"{steps} steps for {size} bytes"


def token(data: bytes) -> None:
    """A bearer token."""
    text = _text(data)
    caller = _accepted(lambda: _tokens.verify(text), len(text), (InvalidToken, ExpiredToken))
    if caller is None:
        return
    header, claims = _parts(text)
    assert header["alg"] == "HS256"
    assert not {"crit", "b64", "enc", "zip"} & header.keys()
    assert caller.user_id in (claims.get("sub"), claims.get("user_id"))
    assert identity.is_user_id(caller.user_id)
    assert NOW < caller.expires_at == claims["exp"] <= MAX_DATE
    assert "leaderboard" in ([claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"])
    assert caller.scopes <= set(Scope)
    profile = caller.profile
    assert profile.username is None or identity.username(profile.username) == profile.username
    again = mint(
        KEY, sub=caller.user_id, ttl=caller.expires_at - NOW, name=profile.username, scopes=sorted(caller.scopes),
        audience="leaderboard", clock=Clock(),
    )  # fmt: skip
    renewed = _tokens.verify(again)
    assert math.floor(renewed.expires_at - caller.expires_at) in (0, 1)
    assert (renewed.user_id, renewed.scopes, renewed.profile.username) == (
        caller.user_id,
        caller.scopes,
        profile.username,
    )
    msgspec.json.encode(caller.profile)


def proof(data: bytes) -> None:
    """An action proof."""
    text = _text(data)
    found = _accepted(lambda: _proofs.verify(text), len(text), (InvalidActionProof, ExpiredActionProof))
    if found is None:
        return
    header, claims = _parts(text)
    assert header["typ"].lower().removeprefix("application/") == "action-proof+jwt"
    assert identity.is_user_id(found.player)
    assert identity.is_action_id(found.id)
    assert re.fullmatch(NAME_PATTERN, found.board)
    assert found.points is None or 1 <= found.points <= MAX_SCORE
    assert NOW < found.expires_at <= found.issued_at + LIFETIME
    assert (found.player, found.action_type, found.id) == (claims["sub"], claims["act"], claims["jti"])
    again = sign_action(
        KEY,
        sub=found.player,
        action_type=found.action_type,
        points=found.points,
        score=found.score,
        action_id=found.id,
        board=found.board,
        clock=Clock(),
    )
    renewed = _proofs.verify(again)
    assert msgspec.structs.replace(found, issued_at=NOW, expires_at=NOW + LIFETIME) == renewed
    submission = Submission(Caller(found.player, NOW), action_type=found.action_type, proof=text, score=found.score)
    value = found.points or 5 if found.score is None else found.score
    assert _proofs.verify_submission(submission, {found.action_type: 5}, found.board).value == value
    assert len(fingerprint(submission)) == 8
    assert found.action_type.encode().decode() == found.action_type


def body(data: bytes) -> None:
    """A request's body."""
    name, _, octets = data.partition(b"\n")
    decoder, octets = _decoders.get(name, a._decode), octets[:MAX_BODY]
    kinds = (InvalidJson, InvalidBody, InvalidIncrement)
    value = _accepted(lambda: decoder(_request(octets)), len(octets), kinds)
    if value is None:
        return
    assert decoder(_request(msgspec.json.encode(value))) == value
    for member, given in json.loads(octets or b"{}").items():
        if member in value.__struct_fields__ and member != "since":
            assert getattr(value, member) == given
    since = getattr(value, "since", None)
    if since is not None:
        assert datetime.fromtimestamp(moderation.milliseconds(since) / 1000, UTC).year <= LAST_YEAR


def request(data: bytes) -> bool:
    """A request's bytes: what is taken from them is what Tornado's parser finds. Whether something is."""
    found = counted(lambda: parse_simple_request(data), len(data))
    if found is None:
        return False
    end = re.search(rb"\r?\n\r?\n", data)
    assert end is not None
    start, headers = HTTP1Connection._parse_headers(None, data[: end.end()])  # type: ignore[arg-type]
    line = parse_request_start_line(start)
    path, _, query = line.path.partition("?")
    assert (found.method, found.path, found.query, line.version) == (line.method, path, query, "HTTP/1.1")
    assert dict(found.headers) == {name.lower(): value for name, value in headers.items()}
    assert len(found.headers) == len(list(headers.get_all()))
    assert found.body == data[end.end() :]
    length = parse_int(headers["Content-Length"]) if "Content-Length" in headers else 0
    assert len(found.body) == length == content_length(headers)
    assert check(line, headers, length) is None
    assert not is_handshake(line, headers)
    return True


TARGETS: dict[str, Callable[[bytes], object]] = {"token": token, "proof": proof, "body": body, "request": request}

_tokens.verify(mint(KEY, sub="ann", ttl=60, audience="leaderboard", clock=Clock()))  # the first signature loads a lot


def _accepted(call: Callable[[], Any], size: int, refusals: tuple[type[LeaderboardError], ...]) -> Any:
    """What is accepted; None for a refusal of the kinds that are documented, in a sentence that can be shown."""
    try:
        return counted(call, size)
    except refusals as refusal:
        sentence = refusal.text
    assert len(sentence) <= MAX_MESSAGE
    assert sentence.isprintable()
    return None


def _text(data: bytes) -> str:
    if data.startswith(b"!"):
        return data[1:].decode("latin-1")
    header, _, claims = data.partition(b"\n")
    signed = f"{b64(header)}.{b64(claims)}"
    return f"{signed}.{b64(hmac.digest((SECRET + '0').encode(), signed.encode(), sha256))}"[: 2 * identity.MAX_TOKEN]


def _parts(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, read by another reader; the text must be the one spelling of them."""
    assert len(text) <= identity.MAX_TOKEN
    octets = [_bytes(segment) for segment in text.split(".")]
    assert [b64(segment) for segment in octets] == text.split(".")
    return json.loads(octets[0]), json.loads(octets[1])


def _bytes(segment: str) -> bytes:
    return urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def _request(octets: bytes) -> Request:
    return Request("POST", "/", HTTPHeaders({"Content-Type": "application/json"}), octets)
