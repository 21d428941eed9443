"""`leaderboard token`: the key, the content of the token, and its errors."""

from pathlib import Path

import pytest
from jose import jwt

from tests.support.certificates import make_pair
from tests.support.subjects import SUBJECTS
from tornado_app.cli.main import main
from tornado_app.config import SETTINGS

SECRET = "correct-horse-battery-staple-0123456789"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for setting in SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)


def test_token_uses_the_generated_key_of_the_data_folder(capsys, tmp_path):
    folder = tmp_path / "data"
    argv = ["token", "--sub", "alice", "--name", "Zoë", "--ttl", "2h", "--data-dir", str(folder)]
    assert main(argv) == 0
    first = capsys.readouterr()
    assert first.err.startswith(f"A new key was generated: {folder}/jwt.key")
    assert (
        main([*argv, "--scope", "scores:write", "--scope", "leaderboard:admin", "--picture", "https://x.example/a"])
        == 0
    )
    second = capsys.readouterr()
    assert not second.err
    assert second.out.count("\n") == 1
    key = (folder / "jwt.key").read_text().strip()
    assert (folder / "jwt.key").stat().st_mode & 0o777 == 0o600
    claims = jwt.decode(first.out.strip(), key, algorithms=["HS256"])
    assert (claims["sub"], claims["name"]) == ("alice", "Zoë")
    assert claims["exp"] - claims["iat"] in (7200, 7201)
    claims = jwt.decode(second.out.strip(), key, algorithms=["HS256"])
    assert (claims["scope"], claims["picture"]) == ("scores:write leaderboard:admin", "https://x.example/a")


def test_token_uses_the_configured_key_audience_and_issuer(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("LEADERBOARD_JWT_KEY", SECRET)
    monkeypatch.setenv("LEADERBOARD_JWT_AUDIENCE", "game")
    assert main(["token", "--sub", "bob", "--jwt-issuer", "me"]) == 0
    token = capsys.readouterr().out.strip()
    assert jwt.decode(token, SECRET, algorithms=["HS256"], audience="game", issuer="me")["sub"] == "bob"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("subject", SUBJECTS)
def test_token_is_signed_for_any_user_id(capsys, subject):
    assert main(["token", f"--sub={subject}"]) == 0
    assert jwt.get_unverified_claims(capsys.readouterr().out.strip())["sub"] == subject


@pytest.mark.parametrize("subject", ["", " ann", "ann ", "a\tb", "Zoë", "x" * 256])
def test_token_for_an_invalid_user_id_describes_a_valid_one(capsys, subject):
    with pytest.raises(SystemExit):
        main(["token", f"--sub={subject}"])
    assert "a user id has 1 to 255 printable ASCII characters" in capsys.readouterr().err


def test_token_reports_why_it_cannot_sign(capsys, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "jwt.key").write_text("short")
    assert main(["token", "--sub", "a", "--data-dir", "bad"]) == 1
    assert "bad/jwt.key" in capsys.readouterr().err
    assert main(["token", "--sub", "a", "--data-dir", "file/inside"]) == 1
    assert "Name another --data-dir" in capsys.readouterr().err
    assert main(["token", "--sub", "a", "--mongodb-uri", "mongodb://db"]) == 2
    assert "LEADERBOARD_JWT_KEY" in capsys.readouterr().err


def test_token_with_a_public_key_is_refused(capsys, monkeypatch):
    monkeypatch.setenv("LEADERBOARD_JWT_KEY", make_pair(1)[0].decode())
    assert main(["token", "--sub", "a", "--jwt-algorithm", "ES256"]) == 2
    assert "ES256 tokens cannot be signed here" in capsys.readouterr().err


def test_token_with_an_identity_provider_is_refused(capsys):
    assert main(["token", "--sub", "a", "--jwt-jwks-url", "https://id.example/jwks"]) == 2
    assert "jwt_jwks_url: tokens cannot be signed here" in capsys.readouterr().err


def test_token_imports_neither_server_nor_driver(slow_imports):
    assert slow_imports("token", "--sub", "a", "--data-dir", "d") == "set()"
