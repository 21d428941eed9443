"""Strict readers of the files that settings name: YAML, the table of actions, secrets. No error contains a secret."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import yaml

from tornado_app.core.errors import ConfigError
from tornado_app.core.model import MAX_SCORE

MAX_BYTES = 1 << 20
"""Maximum size of a file of settings, actions or a secret."""

ACTION_TYPE = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


class UnusableFile(Exception):
    """A file cannot be used. The message contains no values of the file."""


class YamlMapping(NamedTuple):
    """The mapping in a YAML file, and the line of each key, from 1.

    `inner_lines`: the lines of the keys in mappings within it, by the path of keys.
    """

    values: dict[Any, Any]
    lines: dict[Any, int]
    inner_lines: Mapping[tuple[Any, ...], int] = MappingProxyType({})


_INT = "tag:yaml.org,2002:int"

_TAB = "found character '\\t' that cannot start any token"
"""PyYAML's message about a tab in the indentation or before a value."""


class _Loader(yaml.SafeLoader):
    """Accepts plain YAML values only, and no duplicate keys. `1:30` and `015` are text, not the numbers 90 and 13."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """As the base class, which silently uses the last of two equal keys."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(problem="duplicate key", problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _INT]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    _INT, re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0b[01_]+|0x[0-9a-fA-F_]+)$"), list("-+0123456789")
)


def read_text(path: Path) -> str:
    """The file's text; raises UnusableFile."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {error.strerror or type(error).__name__}") from None
    if len(data) > MAX_BYTES:
        raise UnusableFile(f"{path} is larger than {MAX_BYTES >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnusableFile(f"{path} is not text in UTF-8") from None


def read_mapping(path: Path) -> YamlMapping:
    """The YAML mapping in the file, empty if the file is empty. Raises UnusableFile."""
    loader: _Loader | None = None
    try:
        loader = _Loader(read_text(path))
        node = loader.get_single_node()
        values = None if node is None else loader.construct_document(node)
        lines = dict(_lines(node)) if isinstance(node, yaml.MappingNode) else {}
    # PyYAML raises LookupError and AttributeError for `!!bool x` and `!!timestamp x`.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise UnusableFile(f"{path}{_where(error)} is not valid YAML: {_problem(error)}") from None
    finally:
        if loader is not None:
            loader.dispose()
    if values is None:
        return YamlMapping({}, {})
    if not isinstance(values, dict):
        raise UnusableFile(f"{path} is not a mapping, lines of the form `name: value`")
    return YamlMapping(values, {path[0]: line for path, line in lines.items() if len(path) == 1}, lines)


def _lines(node: yaml.MappingNode, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], int]]:
    """The line of each key, by its path. Raises RecursionError for an alias within its own anchor."""
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            inner = (*path, key.value)
            yield inner, key.start_mark.line + 1
            if isinstance(value, yaml.MappingNode):
                yield from _lines(value, inner)


def _where(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f", line {mark.line + 1}, column {mark.column + 1}," if mark is not None else ""


def _problem(error: Exception) -> str:
    """The parser's message without quoted parts, which may contain a secret."""
    problem = getattr(error, "problem", None) or "a value cannot be read"
    if problem == _TAB:
        return "it has a tab; use spaces"
    return re.sub(r"""['"].*['"]""", "...", str(problem), flags=re.DOTALL)


def read_secret(path: Path, name: str) -> str:
    """The secret in a file, without the trailing line break. Raises ConfigError, naming the setting `name`."""
    try:
        text = read_text(path)
    except UnusableFile as error:
        raise ConfigError([f"{name}: {error}"]) from None
    if not text.strip():
        raise ConfigError([f"{name}: {path} is empty; write the secret into it"])
    return text.removesuffix("\n").removesuffix("\r")


def read_actions(path: Path) -> dict[str, int]:
    """Points by action type. Raises ConfigError with each invalid row."""
    try:
        rows = read_mapping(path)
    except UnusableFile as error:
        raise ConfigError([str(error)]) from None
    faults = [] if rows.values else [f"{path} contains no action; write lines of the form `level_complete: 50`"]
    for type_, points in rows.values.items():
        place = f"{path}, line {rows.lines.get(str(type_), '?')}"
        if not isinstance(type_, str):
            faults.append(f"{place}: the action type {type_!r} is not text; put it in quotes")
        elif ACTION_TYPE.fullmatch(type_) is None:
            faults.append(f"{place}: {type_!r} is not an action type; use 1 to 64 of A-Z a-z 0-9 _ . -")
        elif isinstance(points, bool) or not isinstance(points, int) or not 1 <= points <= MAX_SCORE:
            faults.append(f"{place}: the points of {type_} are not a whole number of 1 to {MAX_SCORE}")
    if faults:
        raise ConfigError(faults)
    return dict(rows.values)


def line_of(lines: Mapping[Any, int], key: object) -> str:
    """`, line 3`, or an empty string if the line is unknown."""
    return f", line {lines[key]}" if isinstance(key, str) and key in lines else ""
