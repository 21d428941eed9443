"""Leaks of secrets: errors, logs, /metrics, check-config. When the suite ends, conftest.py searches once more
through all output of every service."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from urllib.parse import quote

import pytest

from tests.attacks.attack_env import SETTINGS, RecordedConnection
from tests.attacks.recorder import OutputRecorder, forms
from tests.support.websocket_client import opened


def run(attack_env, *arguments: str, **environment: str | None):
    """Run a command with the services' secrets in its environment, and record its output."""
    given = {name: text for name, text in os.environ.items() if not name.startswith("LEADERBOARD_")}
    given |= {name: text for name, text in {**attack_env.environment, **environment}.items() if text is not None}
    done = subprocess.run(
        [sys.executable, "-m", "tornado_app", *arguments],
        env={name: text for name, text in given.items() if text is not None},
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    attack_env.recorder.record(done.stdout + done.stderr)
    return done.returncode, (done.stdout + done.stderr).decode()


@pytest.mark.parametrize("form", [[], ["--json"], ["--changed"]], ids=["all", "json", "changed"])
def test_secrets_are_not_in_check_config(attack_env, form):
    code, printed = run(attack_env, "check-config", *form, *SETTINGS)
    assert code == 0, printed
    assert "********" in printed
    assert attack_env.recorder.leaks() == []


@pytest.mark.parametrize(
    "wrong",
    [
        ["check-config", "--port", "99999"],
        ["check-config", "--jwt-algorithm", "RS256"],
        ["check-config", "--no-such-flag"],
        ["serve", "--port", "0", "--metrics-port", "0", "--tls-cert-file", "/no/such"],
    ],
    ids=lambda arguments: " ".join(arguments)[:40],
)
def test_secrets_are_not_in_the_error_of_a_failed_start(attack_env, wrong):
    """The error names the fault and no secret."""
    assert run(attack_env, *wrong)[0] != 0
    assert attack_env.recorder.leaks() == []


def test_secrets_are_not_in_the_error_of_an_invalid_key(attack_env):
    """A proof key that is the token key, a private key where a public one is meant, a wrong password, a broken URI."""
    private = attack_env.keys.rs_private.decode()
    wrong_password = attack_env.uri.replace("@127.0.0.1", "x@127.0.0.1")
    for change in (
        {"LEADERBOARD_PROOF_KEY": attack_env.keys.hs_secret},
        {"LEADERBOARD_PROOF_KEY": private},
        {"LEADERBOARD_JWT_JWKS_FILE": None, "LEADERBOARD_JWT_KEY": private, "LEADERBOARD_JWT_ALGORITHM": "RS256"},
        {"LEADERBOARD_MONGODB_URI": wrong_password},
        {"LEADERBOARD_MONGODB_URI": attack_env.uri.replace("mongodb://", "mongodb//")},
    ):
        code, printed = run(attack_env, "serve", "--port", "0", "--metrics-port", "0", *SETTINGS, **change)
        assert code != 0, printed
        assert "Traceback" not in printed
    assert attack_env.recorder.leaks() == []


def test_tokens_are_not_in_errors_and_logs_of_bad_requests(attack_env, user):
    """A token in the query, the path, the body, a header, a message, a malformed request."""
    token, proof = attack_env.token(user), attack_env.proof(user)
    for place in (f"/api/leaderboard?token={token}", f"/no/such/{token}", f"/api/v1/players/{token}", f"/?q={token}"):
        attack_env.service.get(
            place, headers={"Referer": f"https://x.example/?token={token}", "X-Request-Id": token[:60]}
        )
    for body in ({"token": token}, {"score": token}, {"score": 7, "proof": token + "x"}, [token], token.encode()):
        attack_env.service.post("/api/score", body, token=token + "x")
        attack_env.service.post("/api/score", body, token=token, headers={"Action-Proof": proof + "x"})
        attack_env.service.post("/api/v1/score", {"user_id": token, "score_increase": proof}, token=token)
    for path in ("/ws/leaderboard", "/ws/score", "/ws/no-such"):
        with RecordedConnection(attack_env.service) as wire:
            wire.send(f"GET {path}?token={token} HTTP/1.1", "Upgrade: websocket", "Connection: upgrade")
            wire.read()
    with opened(attack_env.service, f"/ws/leaderboard?token={token}x") as watcher:
        attack_env.recorder.record(repr(watcher.ended()).encode())
    with opened(attack_env.service, f"/ws/leaderboard?token={token}") as watcher:
        attack_env.recorder.record(json.dumps(watcher.read()).encode())
    with RecordedConnection(attack_env.service) as wire:
        wire.socket.sendall(f"GET /{token} HTTP/1.1\r\nAuthorization: Bearer {token}\r\nBad\r\n\r\n".encode())
        assert wire.read().status == 400
    attack_env.recorder.record(attack_env.service.log.encode())
    assert attack_env.recorder.leaks() == []


def test_secrets_are_not_in_metrics(attack_env):
    """/metrics names no player either: names would be endless, and personal."""
    seen = OutputRecorder()
    seen.secrets, seen.credentials = attack_env.recorder.secrets, attack_env.recorder.credentials
    for service in (attack_env.service, attack_env.second_service):
        seen.scrape(service.metrics_url)
    assert seen.size > 1000
    assert seen.leaks() == []
    assert not [user for user in attack_env.players() if user.encode() in seen.output]


@pytest.mark.parametrize("way", ["plain", "quoted", "json", "base64", "base64 amid a text", "hex"])
def test_search_for_secrets_finds_a_planted_secret(way):
    """Control for the searches above."""
    recorder, secret = OutputRecorder(), 'p@ss/w"örd-0123456789-abcdef'
    recorder.secrets["a secret"] = secret
    output = {
        "plain": secret.encode(),
        "quoted": quote(secret, safe="").encode(),
        "json": json.dumps({"uri": secret}).encode(),
        "base64": base64.b64encode(secret.encode()),
        "base64 amid a text": base64.urlsafe_b64encode(f"user:{secret}@host".encode()),
        "hex": secret.encode().hex().encode(),
    }[way]
    assert recorder.leaks() == []
    recorder.record(b"nothing")
    recorder.record(b"before " + output + b" after")
    (leak,) = {text.partition(":")[0] for text in recorder.leaks()}
    assert leak == "a secret"
    assert all(len(form) > 10 for form in forms(secret))
