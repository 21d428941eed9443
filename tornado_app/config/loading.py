"""Loads the settings from all sources and validates them, and declares their command-line flags.

`load_config` parses the text of flags, so that it reports the errors of all sources at once.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType

from tornado_app.config.boards_file import read_boards
from tornado_app.config.checks import check
from tornado_app.config.configuration import Config
from tornado_app.config.declaration import Setting
from tornado_app.config.files import read_actions
from tornado_app.config.settings import SETTINGS
from tornado_app.config.sources import LoadedSettings, load_values
from tornado_app.core.errors import ConfigError


def load_config(
    flags: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    defaults: Mapping[str, object] | None = None,
    relevant: Collection[str] | None = None,
) -> Config:
    """The settings from flags (by setting's name, as text), environment, file and defaults, in that precedence.

    `environ` None is the process's own. `defaults`: values instead of the declared ones. `relevant`: the settings that
    the caller uses; errors of others are ignored; None is all. Raises ConfigError with all errors.
    """
    variables = os.environ if environ is None else environ
    loaded = load_values(SETTINGS, flags or {}, variables)
    values = {**(defaults or {}), **loaded.values}
    config = Config(**values, color=not variables.get("NO_COLOR"), sources=loaded.sources)
    return _checked(config, loaded, relevant)


def _checked(config: Config, loaded: LoadedSettings, relevant: Collection[str] | None) -> Config:
    """`config` with its actions and boards, if everything is valid; else ConfigError."""
    with _faults_of("actions_file", loaded):
        if config.actions_file is not None:
            config = replace(config, action_points=MappingProxyType(read_actions(config.actions_file)))
    with _faults_of("boards_file", loaded):
        if config.boards_file is not None:
            config = replace(config, boards=read_boards(config.boards_file))
    check(config, loaded, relevant)
    if loaded.faults:
        raise ConfigError(loaded.faults)
    return config


@contextmanager
def _faults_of(setting: str, loaded: LoadedSettings) -> Iterator[None]:
    """Collects the errors of the file that a setting names."""
    try:
        yield
    except ConfigError as error:
        for fault in error.faults:
            loaded.add_error(setting, fault)


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


def load_options(
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
