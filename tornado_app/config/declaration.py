"""Declares a setting as a dataclass field that carries its value type, its help text and where it may be set."""

from __future__ import annotations

from dataclasses import field, fields
from typing import Any

import msgspec

from tornado_app.config.value_types import ValueType

PREFIX = "LEADERBOARD_"
"""Prefix of the environment variables."""


class SettingInfo(msgspec.Struct, frozen=True):
    """Metadata of a setting. `flag`, `key`: whether a flag or a key of the file may set it."""

    value_type: ValueType
    doc: str
    group: str
    secret: bool
    flag: bool
    key: bool


class Setting(msgspec.Struct, frozen=True):
    """One setting: its name, its default and its metadata."""

    name: str
    default: Any
    info: SettingInfo

    @property
    def flag(self) -> str:
        """`--rate-limit`."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """`LEADERBOARD_RATE_LIMIT`."""
        return PREFIX + self.name.upper()

    def format(self, value: Any) -> str:
        """`value` as text, with secrets masked; None is `none` and an empty list is `empty`."""
        if value is None:
            return "none"
        value_type = self.info.value_type
        masked = self.info.secret and value_type.metavar != "URI"  # MongodbUri masks the secret parts itself
        return "********" if masked else value_type.format(value) or "empty"

    def to_json(self, value: Any) -> Any:
        """`value` as the settings file has it: a number, true or false, a list or text, with secrets masked; None is
        None."""
        if value is None or (isinstance(value, bool | int) and not self.info.secret):
            return value
        if isinstance(value, tuple) and not self.info.secret:
            return [str(item) for item in value]
        return self.format(value)


def setting(
    value_type: ValueType,
    default: Any,
    doc: str,
    *,
    group: str,
    secret: bool = False,
    flag: bool = True,
    key: bool = True,
) -> Any:
    """A dataclass field that is a setting. Secret settings are not part of the `repr`."""
    info = SettingInfo(value_type, doc, group, secret, flag, key)
    return field(default=default, metadata={"info": info}, repr=not secret)


def settings_of(cls: type[Any]) -> tuple[Setting, ...]:
    """The settings that `cls` declares, in order."""
    return tuple(Setting(f.name, f.default, f.metadata["info"]) for f in fields(cls) if "info" in f.metadata)
