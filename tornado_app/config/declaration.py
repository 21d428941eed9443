"""How a setting is declared: once, as a dataclass field that carries its kind, its sentence and where it may be set."""

from __future__ import annotations

from dataclasses import field, fields
from typing import Any

import msgspec

from tornado_app.config.kinds import Kind

PREFIX = "LEADERBOARD_"
"""Every environment variable of ours begins with it."""


class Declared(msgspec.Struct, frozen=True):
    """What a field says about its setting. `flag`, `key`: whether a flag, a key of the file may set it."""

    kind: Kind
    doc: str
    group: str
    secret: bool
    flag: bool
    key: bool


class Setting(msgspec.Struct, frozen=True):
    """One setting: its names, its default and what was declared."""

    name: str
    default: Any
    declared: Declared

    @property
    def flag(self) -> str:
        """`--rate-limit`."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """`LEADERBOARD_RATE_LIMIT`."""
        return PREFIX + self.name.upper()

    def show(self, value: Any) -> str:
        """`value` for a person's eyes: secrets masked, `none` and `empty` spelled out."""
        if value is None:
            return "none"
        kind = self.declared.kind
        masked = self.declared.secret and kind.metavar != "URI"  # a URI's kind masks what is secret of it
        return "********" if masked else kind.show(value) or "empty"


def setting(
    kind: Kind, default: Any, doc: str, *, group: str, secret: bool = False, flag: bool = True, key: bool = True
) -> Any:
    """A dataclass field that is a setting; a secret one is left out of the `repr`."""
    declared = Declared(kind, doc, group, secret, flag, key)
    return field(default=default, metadata={"declared": declared}, repr=not secret)


def settings_of(cls: type[Any]) -> tuple[Setting, ...]:
    """The settings that `cls` declares, in order."""
    return tuple(Setting(f.name, f.default, f.metadata["declared"]) for f in fields(cls) if "declared" in f.metadata)
