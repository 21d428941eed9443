"""Keys in files: rotation without a restart, and the previous key if the new file is invalid."""

from __future__ import annotations

import logging
import os

import pytest

from tests.support.clock import Clock
from tests.support.forgery import SECRET, claims, forge, public_pem, rsa_private_pem, signing
from tornado_app.auth.key_loading import MAX_BYTES, public_key_file, secret_file
from tornado_app.auth.key_parsing import UnusableKey
from tornado_app.auth.keys import signing_secret
from tornado_app.auth.tokens import TokenVerifier
from tornado_app.core.errors import InvalidToken

OLD, NEW = SECRET + "-old", SECRET + "-new"


@pytest.fixture
def clock():
    return Clock()


def replaced(path, content):
    """Puts a new file in place at once, as a mounted Secret is."""
    draft = path.with_suffix(".new")
    draft.write_text(content)
    draft.replace(path)


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text(OLD + "\n")
    return path


@pytest.fixture
def source(secret, clock):
    return secret_file(secret, clock=clock)


def signer(source):
    return source.current().keys[0].fingerprint


def test_key_file_rotation_takes_effect_without_a_restart(secret, source, clock):
    check = TokenVerifier(source, audience=None, issuer=None, clock=Clock())
    old, new = (forge(signing_secret(text), claims()) for text in (OLD, NEW))
    assert check.verify(old).user_id == "ann"
    replaced(secret, NEW)
    clock.now += 1
    assert check.verify(new).user_id == "ann"
    with pytest.raises(InvalidToken):
        check.verify(old)


def test_key_file_is_checked_at_most_once_a_second(secret, source, clock, monkeypatch):
    checks = []
    look = type(secret).stat
    monkeypatch.setattr(type(secret), "stat", lambda path: checks.append(path) or look(path))
    for _ in range(1000):
        source.current()
        clock.now += 0.0105
    assert len(checks) == 10


def test_key_file_with_the_same_content_keeps_the_key_set(secret, source, clock):
    before = source.current()
    replaced(secret, OLD + "\n")
    clock.now += 1
    assert source.current() is before


@pytest.mark.parametrize(
    ("content", "reason"),
    [("", "file is empty"), ("short", "5 bytes"), (public_pem(rsa_private_pem()).decode(), "shared secret is needed")],
)
def test_key_file_with_an_invalid_key_keeps_the_previous_one(secret, source, clock, caplog, content, reason):
    before = source.current()
    secret.write_text(content)
    for _ in range(5):
        clock.now += 1
        assert source.current() is before
    warnings = [record for record in caplog.records if record.name == "leaderboard.auth"]
    assert [record.levelno for record in warnings] == [logging.WARNING], "logged once, not each second"
    assert reason in caplog.text
    assert OLD not in caplog.text
    secret.write_text(NEW)
    clock.now += 1
    assert signer(source) == signing_secret(NEW).public.fingerprint


def test_key_file_that_is_missing_keeps_the_previous_key(secret, source, clock, caplog):
    before = source.current()
    secret.rename(secret.with_suffix(".away"))
    clock.now += 1
    assert source.current() is before
    assert "No such file" in caplog.text
    secret.with_suffix(".away").rename(secret)
    clock.now += 1
    assert source.current() is before
    # The fault is kept only to log it once.
    assert source._fault == ""


def test_key_file_invalid_at_start_is_refused_by_name(tmp_path, clock):
    cases = {"short": (b"short", "The secret has 5"), "huge": (b"x" * (MAX_BYTES + 1), "The file has more than")}
    for name, (content, reason) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnusableKey, match=f"{name}: {reason}"):
            secret_file(tmp_path / name, clock=clock)
    with pytest.raises(UnusableKey, match="missing cannot be read: No such file"):
        secret_file(tmp_path / "missing", clock=clock)
    with pytest.raises(UnusableKey, match="Is a directory"):
        secret_file(tmp_path, clock=clock)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UnusableKey, match="not a regular file"):
        secret_file(tmp_path / "fifo", clock=clock)


def test_key_file_with_two_pem_keys_accepts_both(tmp_path, clock):
    path = tmp_path / "keys.pem"
    path.write_bytes(public_pem(rsa_private_pem()))
    source = public_key_file(path, clock=clock)
    check = TokenVerifier(source, audience=None, issuer=None, clock=Clock())
    new = signing("RS256", number=1)
    with pytest.raises(InvalidToken):
        check.verify(forge(new, claims()))
    path.write_bytes(public_pem(rsa_private_pem()) + public_pem(rsa_private_pem(2048, 1)))
    clock.now += 1
    assert check.verify(forge(new, claims())).user_id == "ann"
    assert check.verify(forge(signing("RS256"), claims())).user_id == "ann"


def test_key_file_behind_a_moved_symlink_is_read_again(tmp_path, clock):
    for name, text in (("one", OLD), ("two", NEW)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "secret").write_text(text)
    (tmp_path / "data").symlink_to("one")
    source = secret_file(tmp_path / "data" / "secret", clock=clock)
    (tmp_path / "data.new").symlink_to("two")
    (tmp_path / "data.new").replace(tmp_path / "data")
    clock.now += 1
    assert signer(source) == signing_secret(NEW).public.fingerprint
