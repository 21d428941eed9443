"""The command line: arguments, calls, output and exit codes."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import tornado_app
from tests.support.project import ROOT
from tornado_app import __version__, service
from tornado_app.api import openapi
from tornado_app.cli.main import main
from tornado_app.config import SETTINGS, Config, load_config
from tornado_app.core.errors import StartupError

SECRET = "correct-horse-battery-staple-0123456789"
PROOF_SECRET = "another-horse-another-battery-9876543210"
COMMANDS = (
    "serve", "demo", "token", "sign-action", "audit", "export", "database", "period", "watch", "check-config",
    "openapi", "asyncapi", "completion", "help",
)  # fmt: skip


class Part(ModuleType):
    """A fake of the module that a command calls; records the arguments."""

    def __init__(self) -> None:
        super().__init__("part")
        self.given: list[object] = []
        self.outcome: int | BaseException = 0

    def serve(self, *given: object) -> int:
        self.given.extend(given)
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome

    run = serve

    def document(self) -> dict[str, str]:
        return {"openapi": "3.1.0", "title": "Zoë"}


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Part:
    part = Part()
    for package, name in ((service, "service"), (tornado_app, "demo"), (tornado_app, "watch"), (openapi, "document")):
        monkeypatch.setitem(sys.modules, f"{package.__name__}.{name}", part)
        monkeypatch.setattr(package, name, part, raising=False)
    return part


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for setting in SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """What a command line that is itself wrong gets on stderr; it ends with 2 and prints nothing else."""
    with pytest.raises(SystemExit) as caught:
        main(argv)
    output = capsys.readouterr()
    assert caught.value.code == 2
    assert not output.out
    assert output.err.count("\n") == 1
    return output.err


def test_serve_passes_the_settings_on(part):
    part.outcome = 7
    assert main(["serve", "--port", "0", "--rate-limit", "5/s", "--auto-register", "--log-format=json"]) == 7
    (config,) = part.given
    assert isinstance(config, Config)
    assert (config.port, config.rate_limit.updates, config.auto_register, config.log_format) == (0, 5, True, "json")


@pytest.mark.parametrize(
    ("flags", "value"),
    [
        ([], False),
        (["--auto-register"], True),
        (["--auto-register", "no"], False),
        (["--auto-register=true"], True),
        (["--auto-register", "--no-auto-register"], False),
    ],
)
def test_switch_without_value_sets_it(part, flags: list[str], value: bool):
    main(["serve", *flags])
    assert part.given[0].auto_register is value


def test_switch_turned_off_overrides_the_environment(part, monkeypatch):
    monkeypatch.setenv("LEADERBOARD_AUTO_REGISTER", "true")
    main(["serve", "--no-auto-register"])
    assert part.given[0].auto_register is False


def test_demo_starts_players(part):
    assert main(["demo", "--players", "3", "--port", "0"]) == 0
    config, players = part.given
    assert (config.port, players) == (0, 3)


def test_demo_players_need_no_proofs_on_any_database(part, monkeypatch, capsys):
    monkeypatch.setenv("LEADERBOARD_JWT_KEY", SECRET)
    assert main(["demo", "--mongodb-uri", "mongodb://db"]) == 0
    assert part.given[0].proof_policy == "optional"
    assert main(["demo", "--action-proof", "off"]) == 0
    assert part.given[2].proof_policy == "off"
    assert main(["demo", "--action-proof", "required"]) == 2
    assert "action_proof: the demo's players" in capsys.readouterr().err
    monkeypatch.delenv("LEADERBOARD_JWT_KEY")
    assert main(["demo", "--jwt-jwks-url", "https://id.example/jwks"]) == 2
    assert "jwt_jwks_url: tokens cannot be signed here" in capsys.readouterr().err
    assert len(part.given) == 4


def test_watch_receives_the_address(part):
    main(["watch", "https://board.example"])
    main(["watch", "--board", "kart", "--period", "weekly"])
    assert part.given == ["https://board.example", None, None, "http://127.0.0.1:8000", "kart", "weekly"]


def test_watch_of_an_invalid_board_is_refused(part, capsys):
    assert "1 to 32 characters" in refused(capsys, "watch", "--board=Kart")


def test_serve_with_invalid_settings_prints_a_line_each_and_does_not_start(part, capsys):
    assert main(["serve", "--port", "x", "--host", "a b", "--tls-cert-file", "c"]) == 2
    output = capsys.readouterr()
    assert [line.split(" ")[1] for line in output.err.splitlines()] == ["host", "port", "tls_cert_file"]
    assert all(line.startswith("error: ") for line in output.err.splitlines())
    assert not part.given


def test_startup_error_is_printed_without_a_traceback(part, capsys):
    part.outcome = StartupError("no mongod found; install one")
    assert main(["serve"]) == 1
    assert capsys.readouterr().err == "error: no mongod found; install one\n"


def test_ctrl_c_ends_without_a_traceback(part, capsys):
    part.outcome = KeyboardInterrupt()
    assert main(["serve"]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["serve", "--rate-limt", "5/s"], "there is no flag --rate-limt; did you mean --rate-limit?"),
        (["serve", "--prot=1"], "there is no flag --prot; did you mean --port?"),
        (["serve", "--zzz"], "there is no flag --zzz (see"),
        (["serve", "--por", "1"], "did you mean --port?"),
        (["serve", "--port"], "argument --port: expected one argument"),
        (["serve", "extra"], "unexpected argument"),
        (["serv"], "there is no command 'serv'; did you mean serve?"),
        (["help", "wach"], "there is no command 'wach'; did you mean watch?"),
        (["\x1b[2J"], r"there is no command '\x1b[2J'"),
        (["completion", "sh"], "invalid choice: 'sh' (choose from 'bash', "),
        ([], "the following arguments are required: COMMAND"),
        (["token", "--sub", " a"], "a user id has"),
        (["token", "--sub", "a", "--name", "\x1b"], "a name has"),
        (["token", "--sub", "a", "--picture", "javascript:x"], "http://"),
        (["token", "--sub", "a", "--ttl", "0"], "give a duration"),
        (["token", "--sub", "a", "--ttl", "soon"], "give a duration"),
        (["sign-action", "--sub", " a", "--type", "x"], "a user id has"),
        (["sign-action", "--sub", "a", "--type", "x", "--points", "0"], "whole number of 1"),
        (["sign-action", "--sub", "a", "--type", "x", "--points", "9223372036854775808"], "whole number of 1"),
        (["sign-action", "--sub", "a", "--type", "x", "--ttl=-1s"], "give a duration"),
        (["demo", "--players", "0"], "whole number of 1"),
        (["demo", "--players", "9999999"], "whole number of 1"),
        (["demo", "--players", "٣"], "whole number of 1"),
    ],
)
def test_invalid_command_line_is_one_line_of_error(capsys, argv: list[str], message: str):
    assert message in refused(capsys, *argv)


def test_key_on_the_command_line_is_refused_and_not_printed(capsys):
    for argv in (["serve", "--jwt-key", SECRET], ["serve", f"--jwt-key={SECRET}"], ["serve", f"--jwt-kye={SECRET}"]):
        assert SECRET not in refused(capsys, *argv)
    assert "LEADERBOARD_JWT_KEY or --jwt-key-file" in refused(capsys, "serve", "--jwt-key", SECRET)
    assert "LEADERBOARD_PROOF_KEY or --proof-key-file" in refused(capsys, "check-config", f"--proof-key={SECRET}")


@pytest.mark.parametrize("command", COMMANDS)
def test_command_has_help(capsys, command: str):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert f"usage: leaderboard {command}" in capsys.readouterr().out


def test_help_of_serve_names_every_setting(capsys):
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for setting in SETTINGS:
        assert setting.variable in text
        assert (f"{setting.flag} " in text) == setting.info.flag


@pytest.mark.parametrize("command", COMMANDS)
def test_help_command_equals_the_help_flag(capsys, command: str):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    described = capsys.readouterr().out
    assert main(["help", command]) == 0
    assert capsys.readouterr().out == described


def test_help_lists_commands_and_exit_codes(capsys):
    assert main(["help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n    {command}" in text for command in COMMANDS)
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    codes = re.findall(r"(?m)^\| (\d+) \|", page)
    assert codes == ["0", "1", "2", "3", "130"]
    assert re.findall(r"(?m)^  (\d+) ", text) == codes


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version_is_printed(capsys, flag):
    with pytest.raises(SystemExit) as caught:
        main([flag])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"leaderboard {__version__}\n"


def test_check_config_prints_values_and_sources(capsys, monkeypatch, tmp_path):
    (tmp_path / "c.yaml").write_text("port: 81\n")
    monkeypatch.setenv("LEADERBOARD_JWT_KEY", SECRET)
    monkeypatch.setenv("LEADERBOARD_PROOF_KEY", PROOF_SECRET)
    assert main(["check-config", "--config", "c.yaml", "--mongodb-uri", "mongodb://ann:hunter22@db/x"]) == 0
    output = capsys.readouterr()
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in output.out.splitlines()}
    assert list(rows) == [setting.name for setting in SETTINGS]
    assert rows["port"] == ["81", "c.yaml, line 1"]
    assert rows["jwt_key"] == ["********", "LEADERBOARD_JWT_KEY"]
    assert rows["proof_key"] == ["********", "LEADERBOARD_PROOF_KEY"]
    assert rows["action_proof"] == ["required", "default"]
    assert rows["mongodb_uri"] == ["mongodb://***@db/x", "--mongodb-uri"]
    assert rows["rate_limit"] == ["10/60s", "default"]
    assert not any(secret in output.out + output.err for secret in ("hunter22", SECRET, PROOF_SECRET))
    assert output.err.startswith("warning: --mongodb-uri holds credentials")


def test_check_config_changed_prints_only_changed_settings(capsys, monkeypatch, tmp_path):
    (tmp_path / "c.yaml").write_text("port: 81\nrate_limit: 10/60s\nallowed_origins: [https://a.example]\n")
    monkeypatch.setenv("LEADERBOARD_JWT_KEY", SECRET)
    assert main(["check-config", "--changed", "--config", "c.yaml", "--auto-register"]) == 0
    output = capsys.readouterr()
    assert [line.split(maxsplit=2) for line in output.out.splitlines()] == [
        ["config", "c.yaml", "--config"],
        ["port", "81", "c.yaml, line 1"],
        ["jwt_key", "********", "LEADERBOARD_JWT_KEY"],
        ["auto_register", "true", "--auto-register"],
        ["allowed_origins", "https://a.example", "c.yaml, line 3"],
    ]
    assert SECRET not in output.out + output.err


def test_check_config_changed_of_defaults_is_empty(capsys):
    assert main(["check-config", "--changed"]) == 0
    assert capsys.readouterr() == ("", "every setting has its default\n")


def test_check_config_shows_the_boards_of_the_file(capsys, tmp_path):
    periods = 'a: {cron: 0 0 * * MON, timeZone: Asia/Tokyo, keep: 3}, b: {every: 14d, from: "2026-12-01T18:00"}, c: '
    board = f"bounds: {{min: 15000}}, shows: b, periods: {{{periods}}}"
    file = f"boards: {{main: {{bounds: {{max: 50}}}}, kart: {{rule: best, order: ascending, {board}}}, a: }}"
    (tmp_path / "b.yaml").write_text(file)
    flags = ["--boards-file", "b.yaml", "--changed"]
    assert main(["check-config", *flags]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "boards_file  b.yaml           --boards-file",
        "board main   sum, descending  bounds 50 or less",
        "board a      sum, descending",
        "board kart   best, ascending  bounds 15000 or more; periods a, b, c; shows b",
    ]
    assert main(["check-config", "--json", *flags]) == 0
    shown = json.loads(capsys.readouterr().out)["boards"]
    assert list(shown) == ["main", "a", "kart"]
    (tmp_path / "again.yaml").write_text(json.dumps({"boards": shown}))
    assert load_config({"boards_file": "again.yaml"}, {}).boards == load_config({"boards_file": "b.yaml"}, {}).boards


def test_check_config_json_has_values_as_in_the_file(capsys, monkeypatch, tmp_path):
    (tmp_path / "c.yaml").write_text("port: 81\nallowed_origins: [https://a.example, https://b.example]\n")
    monkeypatch.setenv("LEADERBOARD_JWT_KEY", SECRET)
    monkeypatch.setenv("LEADERBOARD_PROOF_KEY", PROOF_SECRET)
    flags = ["--config", "c.yaml", "--mongodb-uri", "mongodb://ann:hunter22@db/x", "--rate-limit", "5/2s"]
    assert main(["check-config", "--json", *flags]) == 0
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert list(found["settings"]) == [setting.name for setting in SETTINGS]
    expected = {
        "port": (81, 8000, "c.yaml, line 1"),
        "allowed_origins": (["https://a.example", "https://b.example"], [], "c.yaml, line 2"),
        "rate_limit": ("5/2s", "10/60s", "--rate-limit"),
        "auto_register": (False, False, "default"),
        "tls_cert_file": (None, None, "default"),
        "drain_timeout": ("10s", "10s", "default"),
        "jwt_key": ("********", None, "LEADERBOARD_JWT_KEY"),
        "mongodb_uri": ("mongodb://***@db/x", None, "--mongodb-uri"),
        "action_proof": ("required", None, "default"),
    }
    for name, (value, default, source) in expected.items():
        assert found["settings"][name] == {"value": value, "default": default, "source": source}
    assert len(found["warnings"]) == 1
    assert "credentials" in found["warnings"][0]
    assert not output.err
    assert not any(secret in output.out for secret in ("hunter22", SECRET, PROOF_SECRET))
    assert main(["check-config", "--json", "--changed", *flags]) == 0
    changed = json.loads(capsys.readouterr().out)["settings"]
    assert list(changed) == ["config", "port", "mongodb_uri", "jwt_key", "proof_key", "rate_limit", "allowed_origins"]


def test_check_config_json_values_as_a_file_set_the_same(capsys, tmp_path):
    """Value by value, JSON is a notation of the settings file."""
    main(["check-config", "--json"])
    settings = json.loads(capsys.readouterr().out)["settings"]
    values = {
        name: row["value"] for name, row in settings.items() if name != "config" and row["value"] not in (None, "")
    }
    (tmp_path / "all.yaml").write_text(json.dumps(values))
    assert main(["check-config", "--json", "--changed", "--config", "all.yaml"]) == 0
    assert list(json.loads(capsys.readouterr().out)["settings"]) == ["config", "action_proof"]


def test_check_config_with_invalid_settings_exits_with_2(capsys):
    assert main(["check-config", "--port", "x"]) == 2
    output = capsys.readouterr()
    assert not output.out
    assert output.err.startswith("error: port (--port)")


def test_openapi_prints_json(part, capsys):
    assert main(["openapi"]) == 0
    assert json.loads(capsys.readouterr().out) == part.document()


def test_closed_pipe_causes_no_traceback(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-m", "tornado_app", "check-config"], cwd=ROOT, env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
        assert process.wait(60) == 1
