"""`leaderboard completion`: real shells complete commands, flags, values and files by its scripts."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.command import Command
from tests.support.requirements import missing
from tests.support.wait import wait_until
from tornado_app.cli import completion
from tornado_app.cli.main import main
from tornado_app.config import SETTINGS

COLUMNS, ROWS = 100, 30
SHELLS = {
    "bash": (("bash", "--norc", "--noprofile", "-i"), 'eval "$(leaderboard completion bash)"'),
    "zsh": (("zsh", "-f", "-i"), 'autoload -U compinit; compinit -u -D; eval "$(leaderboard completion zsh)"'),
    "fish": (("fish", "--no-config", "-i"), "leaderboard completion fish | source"),
    "tcsh": (("tcsh", "-f"), "leaderboard completion tcsh > complete.tcsh; source complete.tcsh"),
}
"""How each is started without the files of its user, and what reads the script."""

TYPED = (
    ("leaderboard check-c", "leaderboard check-config "),
    ("--log-lev", "--log-level "),
    ("w", "warning "),
    ("--config ./set", "--config ./settings.yaml"),
)
"""What is typed before each Tab, and what the shell makes of it."""


@pytest.mark.parametrize(
    "shell", ["bash", *(pytest.param(shell, marks=pytest.mark.long) for shell in completion.SHELLS if shell != "bash")]
)
def test_shell_completes_commands_flags_values_and_files(shell, tmp_path, monkeypatch):
    program, setup = SHELLS[shell]
    if shutil.which(shell) is None:
        missing(f"{shell} is not installed")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "settings.yaml").touch()
    with Command(folder=tmp_path, terminal=(COLUMNS, ROWS), program=program) as command:
        command.type(f"{setup}\necho re''ady\n")
        command.expect("ready")
        wait_until(lambda: screen(command).rstrip().endswith(("$", "#", "%", ">")), 10, "a prompt")
        line = ""
        for typed, completed in TYPED:
            command.type(f"{typed}\t")
            line += completed
            wait_until(lambda: line.rstrip() in screen(command), 10, f"{line!r} on the screen")  # noqa: B023
        command.type("\n")  # which runs it
        command.expect(r"config +settings\.yaml +--config")
        command.type("exit\n")


def screen(command: Command) -> str:
    return "\n".join(command.screen(COLUMNS, ROWS))


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_completion_script_names_every_flag_and_no_secret(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for setting in SETTINGS:
        name = setting.flag.removeprefix("--")
        assert bool(re.search(rf"(?<![\w-])(--)?{name}(?![\w-])", script)) == setting.info.flag, setting.flag
