"""The settings as command-line flags. `load_config` parses their text, so that it reports all errors at once."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence

from tornado_app.config import load_config
from tornado_app.config.configuration import Config
from tornado_app.config.declaration import Setting
from tornado_app.config.settings import SETTINGS


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add every setting that has a flag to `parser`, in groups."""
    for group in dict.fromkeys(setting.info.group for setting in SETTINGS):
        members = [setting for setting in SETTINGS if setting.info.group == group]
        hidden = [setting for setting in members if not setting.info.flag]
        notes = [f"{each.name} has no flag: set {each.variable}, or use {each.flag}-file." for each in hidden]
        _add_group(parser, group, " ".join(notes) or None, [each for each in members if each.info.flag])


def add_some_settings(parser: argparse.ArgumentParser, names: Collection[str]) -> None:
    """Add those of the named settings that have a flag to `parser`, in one group."""
    note = "Same settings as `leaderboard serve`; environment variables and the config file apply."
    _add_group(parser, "Settings", note, [each for each in SETTINGS if each.name in names and each.info.flag])


def load(
    options: argparse.Namespace,
    *,
    defaults: Mapping[str, object] | None = None,
    relevant: Collection[str] | None = None,
) -> Config:
    """The settings, with the given flags. Other arguments and errors are those of `load_config`."""
    given = {setting.name: getattr(options, setting.name, None) for setting in SETTINGS}
    flags = {name: text for name, text in given.items() if text is not None}
    return load_config(flags, defaults=defaults, relevant=relevant)


def _add_group(parser: argparse.ArgumentParser, title: str, note: str | None, settings: Sequence[Setting]) -> None:
    group = parser.add_argument_group(title, note)
    for setting in settings:
        default = "" if setting.default is None else f"; default: {setting.format(setting.default)}"
        text = f"{setting.info.doc} [{setting.variable}{default}]".replace("%", "%%")
        if setting.default is False:
            group.add_argument(
                setting.flag, dest=setting.name, nargs="?", const="true", metavar="true|false", help=text
            )  # fmt: skip
            opposite = f"Set {setting.name} to false."
            flag = setting.flag.replace("--", "--no-", 1)
            group.add_argument(flag, dest=setting.name, action="store_const", const="false", help=opposite)
        else:
            group.add_argument(setting.flag, dest=setting.name, metavar=setting.info.value_type.metavar, help=text)
