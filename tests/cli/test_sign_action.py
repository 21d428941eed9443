"""`leaderboard sign-action`: the key, the content of the proof, and its errors."""

from pathlib import Path

import pytest

from tests.support.forgery import ec_private_pem, public_pem
from tornado_app.auth.keys import KeySet, secret_key
from tornado_app.auth.proofs import Proof, ProofVerifier
from tornado_app.cli.main import main
from tornado_app.config import SETTINGS

SECRET = "another-horse-another-battery-9876543210"
ACTION = ["sign-action", "--sub", "alice", "--type", "level_complete"]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for setting in SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)


def opened(text: str, secret: str = SECRET) -> Proof:
    return ProofVerifier(KeySet([secret_key(secret)])).verify(text.strip())


def test_sign_action_uses_the_generated_key_of_the_data_folder(capsys, tmp_path):
    folder = tmp_path / "data"
    assert main([*ACTION, "--data-dir", str(folder)]) == 0
    first = capsys.readouterr()
    assert first.err.startswith(f"A new key was generated: {folder}/proof.key")
    assert (folder / "proof.key").stat().st_mode & 0o777 == 0o600
    assert not (folder / "jwt.key").exists()
    assert main([*ACTION, "--data-dir", str(folder)]) == 0
    second = capsys.readouterr()
    assert not second.err
    assert second.out.count("\n") == 1
    proofs = [opened(output.out, (folder / "proof.key").read_text()) for output in (first, second)]
    assert [(p.player, p.action_type, p.points) for p in proofs] == [("alice", "level_complete", None)] * 2
    assert proofs[0].id != proofs[1].id


def test_sign_action_uses_the_configured_key(capsys, monkeypatch, tmp_path):
    (tmp_path / "key").write_text(f"{SECRET}\n")
    wanted = ["--points", "5000", "--id", "boss-8c1f", "--ttl", "30s"]
    for given in (["--proof-key-file", "key"], []):
        assert main([*ACTION, *wanted, *given]) == 0
        proof = opened(capsys.readouterr().out)
        assert (proof.player, proof.action_type, proof.id, proof.points) == (
            "alice",
            "level_complete",
            "boss-8c1f",
            5000,
        )
        assert proof.expires_at - proof.issued_at == 30
        monkeypatch.setenv("LEADERBOARD_PROOF_KEY", SECRET)
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_sign_action_for_a_board_has_its_name(capsys, monkeypatch):
    monkeypatch.setenv("LEADERBOARD_PROOF_KEY", SECRET)
    assert main([*ACTION, "--board", "kart"]) == 0
    assert opened(capsys.readouterr().out).board == "kart"
    with pytest.raises(SystemExit):
        main([*ACTION, "--board", "Kart"])
    assert "a board's name has 1 to 32 characters" in capsys.readouterr().err


def test_sign_action_is_valid_as_long_as_the_service_accepts(capsys, monkeypatch):
    monkeypatch.setenv("LEADERBOARD_PROOF_KEY", SECRET)
    assert main([*ACTION, "--proof-lifetime", "20s"]) == 0
    proof = opened(capsys.readouterr().out)
    assert proof.expires_at - proof.issued_at == 20
    assert main([*ACTION, "--ttl", "61s"]) == 2
    assert "at most 60 s (proof_lifetime)" in capsys.readouterr().err


def test_sign_action_needs_no_settings_of_the_service_only(capsys, monkeypatch):
    monkeypatch.setenv("LEADERBOARD_PROOF_KEY", SECRET)
    monkeypatch.setenv("LEADERBOARD_MONGODB_URI", "mongodb://db")
    assert main(ACTION) == 0
    assert opened(capsys.readouterr().out)
    monkeypatch.setenv("LEADERBOARD_JWT_KEY", "correct-horse-battery-staple-0123456789")
    monkeypatch.delenv("LEADERBOARD_PROOF_KEY")
    assert main(["token", "--sub", "alice"]) == 0


def test_sign_action_of_a_type_without_points_warns(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("LEADERBOARD_PROOF_KEY", SECRET)
    boss = ["sign-action", "--sub", "alice", "--type", "boss"]
    assert main(boss) == 0
    assert "boss is not in the table of actions (level_complete," in capsys.readouterr().err
    (tmp_path / "actions.yaml").write_text("boss: 7\n")
    for known in ([*boss, "--actions-file", "actions.yaml"], [*boss, "--points", "5"]):
        assert main(known) == 0
        assert not capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong", [["--id", "a b"], ["--id", ""], ["--id", "x" * 129], ["--type", "x" * 129], ["--type", ""]]
)
def test_sign_action_refuses_what_no_service_would_accept(capsys, monkeypatch, wrong: list[str]):
    monkeypatch.setenv("LEADERBOARD_PROOF_KEY", SECRET)
    assert main([*ACTION, *wrong]) == 2
    output = capsys.readouterr()
    assert output.err.startswith("error: The action proof must")
    assert not output.out


def test_sign_action_reports_why_it_cannot_sign(capsys, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "proof.key").write_text("short")
    assert main([*ACTION, "--data-dir", "bad"]) == 1
    assert "bad/proof.key" in capsys.readouterr().err
    assert main([*ACTION, "--data-dir", "file/inside"]) == 1
    assert "Name another --data-dir" in capsys.readouterr().err
    assert main([*ACTION, "--mongodb-uri", "mongodb://db"]) == 2
    assert "LEADERBOARD_PROOF_KEY" in capsys.readouterr().err
    (tmp_path / "set.json").write_bytes(
        b'{"keys": [{"kty": "oct", "k": "YW5vdGhlci1ob3JzZS1hbm90aGVyLWJhdHRlcnktOTg3"}]}'
    )
    assert main([*ACTION, "--proof-jwks-file", "set.json"]) == 2
    assert "actions cannot be signed here" in capsys.readouterr().err
    monkeypatch.setenv("LEADERBOARD_PROOF_KEY", public_pem(ec_private_pem()).decode())
    assert main([*ACTION, "--proof-algorithm", "ES256"]) == 2
    assert "ES256 proofs cannot be signed here" in capsys.readouterr().err


def test_sign_action_imports_neither_server_nor_driver(slow_imports):
    assert slow_imports("sign-action", "--sub", "a", "--type", "daily_login", "--data-dir", "d") == "set()"
