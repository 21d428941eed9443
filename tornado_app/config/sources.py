"""Loads the values of settings: from flags, then the environment, then the YAML file; else the default applies."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tornado_app.config.declaration import PREFIX, Setting
from tornado_app.config.files import UnusableFile, YamlMapping, line_of, read_mapping
from tornado_app.config.value_types import InvalidValue
from tornado_app.core.text import clip

_MAX_QUOTED = 60
"""Maximum characters of a value in an error."""

_LINK = re.compile(r"LEADERBOARD_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)")
_LINK_PORT = re.compile(r"(?:tcp|udp|sctp)://\S+:\d+")


@dataclass
class LoadedSettings:
    """The values and their sources by setting, the errors, and the names of the settings with an error."""

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    invalid: set[str] = field(default_factory=set)

    def label(self, name: str) -> str:
        """The setting's name, with the source of its value if it has one."""
        return f"{name} ({self.sources[name]})" if name in self.sources else name

    def add_error(self, name: str, problem: str) -> None:
        """Add an error of one setting."""
        self.invalid.add(name)
        self.faults.append(f"{self.label(name)}: {problem}")


def load_values(settings: Sequence[Setting], flags: Mapping[str, str], environ: Mapping[str, str]) -> LoadedSettings:
    """Each setting's value from the source with the highest precedence, parsed and validated by its type."""
    loaded = LoadedSettings()
    variables = {name: text for name, text in environ.items() if name.startswith(PREFIX) and not _is_link(name, text)}
    file = _read_file(settings, flags, variables, loaded)
    for setting in settings:
        _read_setting(setting, flags, variables, file, loaded)
    loaded.faults += _unknown_variables(settings, variables)
    loaded.faults += _unknown_keys(settings, file, loaded.values.get("config"))
    return loaded


def _is_link(name: str, text: str) -> bool:
    """Whether Kubernetes set this variable for a Service named `leaderboard`.

    `LEADERBOARD_PORT=tcp://10.0.0.7:80` is such a service link, not a value of `port`.
    """
    return _LINK.fullmatch(name) is not None or (name.endswith("_PORT") and _LINK_PORT.fullmatch(text) is not None)


def _read_file(
    settings: Sequence[Setting], flags: Mapping[str, str], variables: Mapping[str, str], loaded: LoadedSettings
) -> YamlMapping:
    setting = next(each for each in settings if each.name == "config")
    nothing = YamlMapping({}, {})
    _read_setting(setting, flags, variables, nothing, loaded)
    path: Path | None = loaded.values.get("config")
    if path is None:
        return nothing
    try:
        return read_mapping(path)
    except UnusableFile as error:
        loaded.add_error("config", str(error))
        return nothing


def _read_setting(
    setting: Setting, flags: Mapping[str, str], variables: Mapping[str, str], file: YamlMapping, loaded: LoadedSettings
) -> None:
    """Load one setting from the first source that has it."""
    name, value_type = setting.name, setting.info.value_type
    raw: object
    read: Callable[[Any], Any] = value_type.parse
    if name in flags:
        source, raw = setting.flag, flags[name]
    elif setting.variable in variables:
        source, raw = setting.variable, variables[setting.variable]
    elif name in file.values and setting.info.key:
        source = f"{loaded.values['config']}{line_of(file.lines, name)}"
        raw, read = file.values[name], value_type.from_yaml
    else:
        return
    if name in loaded.invalid or name in loaded.values:
        return  # `config` itself, which was read first
    loaded.sources[name] = source
    try:
        loaded.values[name] = read(raw)
    except InvalidValue as refusal:
        loaded.add_error(name, _error_text(setting, raw, str(refusal)))


def _error_text(setting: Setting, raw: object, hint: str) -> str:
    if raw is None or raw == "":
        return "the value is empty; set a value, or omit the setting to use its default"
    shown = "the value" if setting.info.secret else quoted(raw)
    return f"{shown} is not {setting.info.value_type.expected}" + (f"; {hint}" if hint else "")


def quoted(raw: object) -> str:
    """`raw` in quotes, on one line, truncated if it is long."""
    text = json.dumps(raw, ensure_ascii=isinstance(raw, str) and not raw.isprintable(), default=str, skipkeys=True)
    return clip(text, _MAX_QUOTED)


def suggestion(word: str, words: Sequence[str]) -> str:
    """`; did you mean X?` with the word most similar to `word`, or an empty string."""
    close = get_close_matches(word, words, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _unknown_variables(settings: Sequence[Setting], variables: Mapping[str, str]) -> Iterator[str]:
    names = {setting.variable.removeprefix(PREFIX): setting.variable for setting in settings}
    for variable in sorted(set(variables) - set(names.values())):
        close = suggestion(variable.removeprefix(PREFIX).upper(), list(names)).replace("mean ", f"mean {PREFIX}")
        yield f"{quoted(variable)[1:-1]} (environment): there is no such setting{close or '; unset it'}"


def _unknown_keys(settings: Sequence[Setting], file: YamlMapping, path: Path | None) -> Iterator[str]:
    names = [setting.name for setting in settings if setting.info.key]
    for key in file.values:
        if key not in names:
            place = f"{path}{line_of(file.lines, key)}"
            close = suggestion(str(key).lower().replace("-", "_"), names)
            yield f"{quoted(key)} ({place}): there is no such setting{close or '; take it out'}"
