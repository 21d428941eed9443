"""Where values come from: flags, then the environment, then the YAML file, then the defaults."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tornado_app.config.declaration import PREFIX, Setting
from tornado_app.config.files import Mapped, Unusable, line_of, read_mapping
from tornado_app.config.kinds import Refused

_SHOWN = 60
"""Characters of a wrong value that a fault quotes."""

_LINK = re.compile(r"LEADERBOARD_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)")
_LINK_PORT = re.compile(r"(?:tcp|udp|sctp)://\S+:\d+")


@dataclass
class Gathered:
    """The values found, by setting; where each comes from; what is wrong, and which settings that leaves unknown."""

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    bad: set[str] = field(default_factory=set)

    def label(self, name: str) -> str:
        """The setting's name with where its value comes from."""
        return f"{name} ({self.sources[name]})" if name in self.sources else name

    def refuse(self, name: str, problem: str) -> None:
        """Note a fault of one setting."""
        self.bad.add(name)
        self.faults.append(f"{self.label(name)}: {problem}")


def gather(settings: Sequence[Setting], flags: Mapping[str, str], environ: Mapping[str, str]) -> Gathered:
    """Each setting's value from the source that has the say, read and held against its kind."""
    found = Gathered()
    variables = {name: text for name, text in environ.items() if name.startswith(PREFIX) and not _is_link(name, text)}
    file = _read_file(settings, flags, variables, found)
    for setting in settings:
        _take(setting, flags, variables, file, found)
    found.faults += _unknown_variables(settings, variables)
    found.faults += _unknown_keys(settings, file, found.values.get("config"))
    return found


def _is_link(name: str, text: str) -> bool:
    """Whether Kubernetes made this variable: it makes some for each Service, and one of ours may be `leaderboard`.

    `LEADERBOARD_PORT=tcp://10.0.0.7:80` is one, and no attempt to set `port`.
    """
    return _LINK.fullmatch(name) is not None or (name.endswith("_PORT") and _LINK_PORT.fullmatch(text) is not None)


def _read_file(
    settings: Sequence[Setting], flags: Mapping[str, str], variables: Mapping[str, str], found: Gathered
) -> Mapped:
    setting = next(each for each in settings if each.name == "config")
    nothing = Mapped({}, {})
    _take(setting, flags, variables, nothing, found)
    path: Path | None = found.values.get("config")
    if path is None:
        return nothing
    try:
        return read_mapping(path)
    except Unusable as error:
        found.refuse("config", str(error))
        return nothing


def _take(
    setting: Setting, flags: Mapping[str, str], variables: Mapping[str, str], file: Mapped, found: Gathered
) -> None:
    """Read one setting from the first source that has it."""
    name, kind = setting.name, setting.declared.kind
    raw: object
    read: Callable[[Any], Any] = kind.parse
    if name in flags:
        source, raw = setting.flag, flags[name]
    elif setting.variable in variables:
        source, raw = setting.variable, variables[setting.variable]
    elif name in file.values and setting.declared.key:
        source = f"{found.values['config']}{line_of(file.lines, name)}"
        raw, read = file.values[name], kind.take
    else:
        return
    if name in found.bad or name in found.values:
        return  # `config` itself, which was read first
    found.sources[name] = source
    try:
        found.values[name] = read(raw)
    except Refused as refusal:
        found.refuse(name, _complaint(setting, raw, str(refusal)))


def _complaint(setting: Setting, raw: object, hint: str) -> str:
    if raw is None or raw == "":
        return "the value is empty; set a value, or omit the setting to use its default"
    shown = "the value" if setting.declared.secret else quoted(raw)
    return f"{shown} is not {setting.declared.kind.what}" + (f"; {hint}" if hint else "")


def quoted(raw: object) -> str:
    """`raw` in quotes, on one line, cut where it is long."""
    text = json.dumps(raw, ensure_ascii=isinstance(raw, str) and not raw.isprintable(), default=str, skipkeys=True)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def suggestion(word: str, words: Sequence[str]) -> str:
    """A question that names the word most like `word`, or nothing."""
    close = get_close_matches(word, words, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _unknown_variables(settings: Sequence[Setting], variables: Mapping[str, str]) -> Iterator[str]:
    names = {setting.variable.removeprefix(PREFIX): setting.variable for setting in settings}
    for variable in sorted(set(variables) - set(names.values())):
        close = suggestion(variable.removeprefix(PREFIX).upper(), list(names)).replace("mean ", f"mean {PREFIX}")
        yield f"{quoted(variable)[1:-1]} (environment): there is no such setting{close or '; unset it'}"


def _unknown_keys(settings: Sequence[Setting], file: Mapped, path: Path | None) -> Iterator[str]:
    names = [setting.name for setting in settings if setting.declared.key]
    for key in file.values:
        if key not in names:
            place = f"{path}{line_of(file.lines, key)}"
            close = suggestion(str(key).lower().replace("-", "_"), names)
            yield f"{quoted(key)} ({place}): there is no such setting{close or '; take it out'}"
