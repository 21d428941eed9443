"""The settings as flags of a command line. Their text goes to `Config`, so that every fault is told at once."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence

from tornado_app.config import load_config
from tornado_app.config.configuration import Config
from tornado_app.config.declaration import Setting
from tornado_app.config.settings import SETTINGS


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Give `parser` every setting that may be a flag, in groups."""
    for group in dict.fromkeys(setting.declared.group for setting in SETTINGS):
        members = [setting for setting in SETTINGS if setting.declared.group == group]
        hidden = [setting for setting in members if not setting.declared.flag]
        notes = [f"{each.name} has no flag: set {each.variable}, or use {each.flag}-file." for each in hidden]
        _add_group(parser, group, " ".join(notes) or None, [each for each in members if each.declared.flag])


def add_some_settings(parser: argparse.ArgumentParser, names: Collection[str]) -> None:
    """Give `parser` the settings of these names that may be flags, in one group."""
    note = "Same settings as `leaderboard serve`; environment variables and the config file apply."
    _add_group(parser, "Settings", note, [each for each in SETTINGS if each.name in names and each.declared.flag])


def load(
    options: argparse.Namespace,
    *,
    defaults: Mapping[str, object] | None = None,
    concerned: Collection[str] | None = None,
) -> Config:
    """The settings with what was given on the command line; the rest, and what it raises, as `Config.load`."""
    given = {setting.name: getattr(options, setting.name, None) for setting in SETTINGS}
    flags = {name: text for name, text in given.items() if text is not None}
    return load_config(flags, defaults=defaults, concerned=concerned)


def _add_group(parser: argparse.ArgumentParser, title: str, note: str | None, settings: Sequence[Setting]) -> None:
    group = parser.add_argument_group(title, note)
    for setting in settings:
        default = "" if setting.default is None else f"; default: {setting.show(setting.default)}"
        text = f"{setting.declared.doc} [{setting.variable}{default}]".replace("%", "%%")
        if setting.default is False:
            group.add_argument(
                setting.flag, dest=setting.name, nargs="?", const="true", metavar="true|false", help=text
            )  # fmt: skip
            opposite = f"Set {setting.name} to false."
            flag = setting.flag.replace("--", "--no-", 1)
            group.add_argument(flag, dest=setting.name, action="store_const", const="false", help=opposite)
        else:
            group.add_argument(setting.flag, dest=setting.name, metavar=setting.declared.kind.metavar, help=text)
