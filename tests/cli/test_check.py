"""`leaderboard token --check` and `leaderboard sign-action --check`: the verdict of the service, and why."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path

import pytest

from tests.support.forgery import claims, forge, public_pem, rsa_private_pem, signing, signing_key
from tests.support.jwks import Provider, jwk, jwks
from tests.support.project import ROOT
from tornado_app.auth.keys import signing_secret
from tornado_app.auth.minting import mint
from tornado_app.auth.proofs import sign_action
from tornado_app.cli import check
from tornado_app.cli.main import main
from tornado_app.config import SETTINGS

SECRET, PROOF_SECRET = "correct-horse-battery-staple-0123456789", "another-battery-staple-0123456789-abcdef"
KEY, PROOF_KEY = signing_secret(SECRET), signing_secret(PROOF_SECRET)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for setting in SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)
    monkeypatch.setenv("LEADERBOARD_JWT_KEY", SECRET)
    monkeypatch.setenv("LEADERBOARD_PROOF_KEY", PROOF_SECRET)


def run(capsys, *argv):
    """Exit code, the rows of the report by name, and all that was printed."""
    code = main([*argv])
    printed = capsys.readouterr()
    rows = dict(re.findall(r"(?m)^(\w+) +(.+)$", printed.out.partition("\nclaims")[0]))
    return code, rows, printed.out + printed.err


def test_accepted_token_is_described_and_not_printed(capsys):
    token = mint(KEY, sub="auth0|5f7c", ttl=600, name="Zoë", scopes=["scores:write"])
    code, rows, printed = run(capsys, "token", "--check", token)
    assert (code, rows["verdict"], rows["player"], rows["name"]) == (0, "accepted", "auth0|5f7c", "Zoë")
    assert (rows["scopes"], rows["key"], rows["keys"]) == (
        "scores:write", "no kid, HS256", "1 from jwt_key: no kid, HS256",
    )  # fmt: skip
    assert 590 <= int(re.search(r"in (\d+) s", rows["expires"])[1]) <= 601
    assert '"sub": "auth0|5f7c"' in printed
    for part in token.split("."):
        assert part not in printed
    assert SECRET not in printed


def test_token_is_read_from_stdin_with_or_without_scheme(capsys, monkeypatch):
    token = mint(KEY, sub="ann", ttl=600)
    for text in (token, f"{token}\n", f"Bearer {token}\n", f"  bearer  {token}"):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        assert run(capsys, "token", "--check", "-")[0] == 0


REFUSED = {
    "expired": ({"exp": time.time() - 60}, (), r"\d+ s ago, leeway 5 s"),
    "audience": ({}, ("--jwt-audience", "game,shop"), 'had aud "leaderboard"; wanted "game" or "shop"'),
    "issuer": ({}, ("--jwt-issuer", "https://other"), 'had "https://id.example", wanted "https://other"'),
    "user_id": ({}, ("--jwt-user-claim", "uid"), "claim uid is absent"),
    "invalid_claim": ({"exp": ...}, (), "exp is absent"),
    "not_yet_valid": ({"nbf": time.time() + 86_400}, (), "valid in"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_refused_token_is_reported_with_reason_and_remedy(capsys, reason):
    changes, flags, detail = REFUSED[reason]
    token = forge(KEY, claims(**{"exp": time.time() + 600, "iat": time.time(), **changes}))
    code, rows, printed = run(capsys, "token", "--check", token, *flags)
    assert (code, rows["verdict"], rows["reason"]) == (1, "refused", reason)
    assert re.search(detail, rows["detail"])
    assert rows["error"] == ("expired_token" if reason == "expired" else "invalid_token")
    assert rows["remedy"] == check.REMEDIES[reason]
    assert rows["key"] == "no kid, HS256", "the signature is good"
    assert "not verified" not in printed
    assert token.split(".")[1] not in printed


def test_token_with_a_bad_signature_shows_claims_as_not_verified(capsys):
    token = mint(signing("HS256"), sub="ann", ttl=600)
    code, rows, printed = run(capsys, "token", "--check", token)
    assert (code, rows["reason"], rows["key"]) == (1, "signature", "none verifies it")
    assert 'claims (not verified)\n{\n  "sub": "ann"' in printed


def test_text_that_is_not_a_token_is_refused_and_not_printed(capsys):
    code, rows, printed = run(capsys, "token", "--check", "hunter22.hunter22")
    assert (code, rows["reason"], rows["header"]) == (1, "malformed", "cannot be read")
    assert "hunter22" not in printed


def test_control_characters_of_a_token_are_escaped(capsys):
    token = forge(KEY, claims(sub="a", nickname="x\x1b[2Jy", exp=time.time() + 60, iat=time.time()))
    assert "\x1b" not in run(capsys, "token", "--check", token)[2]


@pytest.mark.parametrize("way", ["pem file", "jwks file", "jwks url", "made"])
def test_token_is_checked_with_the_keys_of_the_settings(capsys, monkeypatch, tmp_path, way):
    monkeypatch.delenv("LEADERBOARD_JWT_KEY")
    key, path = signing_key(rsa_private_pem(number=3), "k1"), tmp_path / "keys"
    provider = None
    match way:
        case "pem file":
            path.write_bytes(public_pem(rsa_private_pem(number=3)))
            flags = ["--jwt-key-file", str(path), "--jwt-algorithm", "RS256"]
        case "jwks file":
            path.write_bytes(jwks(key, signing("ES256", "k2")))
            flags = ["--jwt-jwks-file", str(path)]
        case "jwks url":
            provider = Provider(jwks(key, signing("ES256", "k2"), jwk(signing("RS256", "enc", 1), use="enc")))
            flags = ["--jwt-jwks-url", f"{provider.url}?secret=1"]
        case "made":
            main(["token", "--sub", "x", "--data-dir", str(tmp_path)])
            key = signing_secret((tmp_path / "jwt.key").read_text().strip())
            flags = ["--data-dir", str(tmp_path)]
    capsys.readouterr()
    try:
        code, rows, printed = run(capsys, "token", "--check", mint(key, sub="ann", ttl=600), *flags)
    finally:
        if provider is not None:
            provider.down()
    assert (code, rows["player"]) == (0, "ann")
    if "jwks" in way:
        assert rows["key"] == 'kid "k1", RS256'
        place = path if provider is None else provider.url
        assert rows["keys"] == f'2 from {place}: kid "k1", RS256; kid "k2", ES256'
    assert "secret=1" not in printed


def test_unavailable_keys_are_an_error_with_the_remedy(capsys, monkeypatch):
    token = mint(KEY, sub="ann", ttl=600)
    monkeypatch.delenv("LEADERBOARD_JWT_KEY")
    code, _, printed = run(capsys, "token", "--check", token, "--jwt-jwks-url", "http://127.0.0.1:1/jwks")
    assert (code, "check jwt_jwks_url" in printed) == (1, True)
    code, _, printed = run(capsys, "token", "--check", token, "--data-dir", "nowhere")
    assert (code, "nowhere/jwt.key does not exist; name the service's --data-dir" in printed) == (1, True)
    assert not Path("nowhere").exists(), "checking makes no key"
    code, _, printed = run(capsys, "token", "--check", "", "--data-dir", "nowhere")
    assert (code, "--check: it is empty" in printed) == (2, True)


def test_token_and_proof_without_check_need_their_flags(capsys):
    for argv, flag in ((["token"], "--sub"), (["sign-action", "--type", "boss"], "--sub"),
                       (["sign-action", "--sub", "ann"], "--type")):  # fmt: skip
        code, _, printed = run(capsys, *argv)
        assert (code, f"{flag}: it is missing; give it, or --check" in printed) == (2, True)


@pytest.mark.parametrize(
    ("command", "flag", "value"),
    [
        ("token", "--sub", "ann"),
        ("token", "--name", "Ann"),
        ("token", "--picture", "https://game.example/a.png"),
        ("token", "--scope", "scores:write"),
        ("token", "--ttl", "1h"),
        ("sign-action", "--ttl", "1s"),
    ],
)
def test_flag_that_check_would_ignore_is_refused(capsys, command, flag, value):
    code, _, printed = run(capsys, command, "--check", mint(KEY, sub="bob", ttl=600), flag, value)
    assert (code, f"{flag}: --check does not use it" in printed) == (2, True)


def test_accepted_proof_is_described(capsys):
    proof = sign_action(PROOF_KEY, sub="ann", action_type="boss", points=7, action_id="a-1")
    code, rows, printed = run(capsys, "sign-action", "--check", proof)
    assert (code, rows["player"], rows["board"]) == (0, "ann", "main")
    assert rows["action"] == "boss, id a-1, 7 points"
    assert proof.split(".")[1] not in printed
    request = ("--sub", "ann", "--type", "boss", "--id", "a-1", "--points", "7")
    assert run(capsys, "sign-action", "--check", proof, *request)[0] == 0


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--sub", "bob"), "other_player"),
        (("--type", "quest"), "other_action_type"),
        (("--id", "a-2"), "other_action_id"),
        (("--points", "8"), "other_points"),
        (("--board", "chess"), "other_board"),
        (("--proof-lifetime", "30s"), "lifetime"),
    ],
)
def test_proof_for_another_request_is_reported(capsys, flags, reason):
    proof = sign_action(PROOF_KEY, sub="ann", action_type="boss", points=7, action_id="a-1", board="kart")
    code, rows, _ = run(capsys, "sign-action", "--check", proof, *flags)
    assert (code, rows["reason"], rows["error"]) == (1, reason, "invalid_action_proof")


def test_proof_is_distinguished_from_a_token(capsys):
    token = mint(KEY, sub="ann", ttl=600)
    proof = sign_action(PROOF_KEY, sub="ann", action_type="boss", points=7)
    assert run(capsys, "sign-action", "--check", token)[1]["reason"] == "type"
    assert run(capsys, "token", "--check", proof)[1]["reason"] == "type"
    code, _, printed = run(capsys, "sign-action", "--check", proof, "--action-proof", "off")
    assert (code, "this service reads no proofs" in printed) == (2, True)


def test_every_reason_of_a_token_or_proof_has_a_remedy():
    text = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"(?m)^\| (`\w+`(?:, `\w+`)*) \| (`invalid_token`|`expired_token`|`invalid_action|the same)", text
    )
    reasons = {reason for cell, _ in rows for reason in re.findall(r"\w+", cell)}
    of_requests = {"malformed_header", "no_proof_key"}
    assert reasons - of_requests == set(check.REMEDIES) - {"unknown_action_type"}
