"""`leaderboard completion SHELL`: the script that completes commands, flags and values."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from tornado_app.config import SETTINGS
from tornado_app.config.value_types import Choice, File

SHELLS = ("bash", "zsh", "fish", "tcsh")

EXAMPLES = """examples:
  eval "$(leaderboard completion bash)"
      in ~/.bashrc, for each new shell
  eval "$(leaderboard completion zsh)"
      in ~/.zshrc, after compinit
  leaderboard completion fish > ~/.config/fish/completions/leaderboard.fish
      once, and again after an update"""


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for one of `SHELLS`. It changes `parser`, which must not be used afterwards."""
    import shtab

    value_types = {setting.flag: setting.info.value_type for setting in SETTINGS}
    for action in _actions(parser):
        value_type = value_types.get(action.option_strings[0]) if action.option_strings else None
        if isinstance(value_type, File):
            action.complete = shtab.DIRECTORY if action.dest == "data_dir" else shtab.FILE  # type: ignore[attr-defined]
        elif isinstance(value_type, Choice):
            action.choices = value_type.options
        if action.help is not None:
            action.help = _first_sentence(action.help)
    return shtab.complete(parser, shell)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The actions of the parser and of its commands; argparse has no public way to list them."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)


def _first_sentence(text: str) -> str:
    """Help that fits one line beside a flag: without the variable, the default and further sentences."""
    return text.partition(" [")[0].partition(". ")[0].removesuffix(".")
