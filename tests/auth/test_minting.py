"""Minted tokens, and the secret that is generated at the first start."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from tests.support.clock import NOW, Clock
from tests.support.forgery import SECRET, signing
from tornado_app.auth.key_parsing import UnusableKey
from tornado_app.auth.keys import KeySet, signing_secret
from tornado_app.auth.minting import ensure_secret, mint
from tornado_app.auth.tokens import TokenVerifier
from tornado_app.core.policies import ClaimNames

KEY = signing("HS256")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"sub": " ann", "ttl": 60}, "user id"),
        ({"sub": "Zoë", "ttl": 60}, "user id"),
        ({"sub": "ann", "ttl": 0}, "more than 0"),
        (
            {"sub": "ann", "ttl": 60, "scopes": ["scores:write"], "names": ClaimNames(write_scopes=())},
            "No scope grants",
        ),
        ({"sub": "ann", "ttl": float("nan")}, "more than 0"),
        ({"sub": "ann", "ttl": float("inf")}, "more than 0"),
        ({"sub": "ann", "ttl": 60, "name": "x" * 7168}, "at most 7168"),
    ],
)
def test_token_that_the_service_would_refuse_is_not_signed(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        mint(KEY, **arguments)


def test_token_is_valid_for_at_least_the_requested_time():
    token = mint(KEY, sub="ann", ttl=0.5, clock=Clock(NOW + 0.7))
    check = TokenVerifier(KeySet([KEY.public]), audience=None, issuer=None, clock=Clock(NOW + 1.19))
    assert check.verify(token).expires_at == NOW + 2


def test_secret_file_is_created_once_and_private(tmp_path):
    path = tmp_path / "data" / "token.secret"
    secret = ensure_secret(path)
    assert ensure_secret(path) == secret
    assert len(secret) == 43
    assert signing_secret(secret)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["token.secret"], "nothing is left beside it"


def test_secret_of_concurrent_processes_is_the_same(tmp_path):
    script = (
        "import sys; from pathlib import Path; from tornado_app.auth.minting import ensure_secret;"
        "sys.stdin.read(); print(ensure_secret(Path(sys.argv[1])))"
    )
    path = tmp_path / "token.secret"
    command = [sys.executable, "-c", script, str(path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(6)]
    try:
        for process in processes:
            process.stdin.close()
        secrets = {process.stdout.read().decode().strip() for process in processes}
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdout.close()
    assert secrets == {path.read_text().strip()}


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o400, False), (0o640, True), (0o644, True)])
def test_secret_readable_by_others_is_logged(tmp_path, caplog, mode, warned):
    path = tmp_path / "token.secret"
    path.write_text(SECRET)
    path.chmod(mode)
    with caplog.at_level(logging.WARNING, "leaderboard.auth"):
        assert ensure_secret(path) == SECRET
    assert ("chmod 600" in caplog.text) is warned
    assert SECRET not in caplog.text


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 8 + bytes(range(128, 200))])
def test_secret_file_without_a_secret_is_refused_with_the_remedy(tmp_path, content):
    path = tmp_path / "token.secret"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UnusableKey, match=r"delete .* to have a new one generated"):
        ensure_secret(path)
    assert path.read_bytes() == content
