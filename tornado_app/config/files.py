"""The files that settings name: YAML read strictly, the table of actions, secrets. No fault shows a secret."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tornado_app.core.errors import ConfigError
from tornado_app.core.model import MAX_SCORE

MAX_BYTES = 1 << 20
"""A larger file of settings, actions or a secret is a mistake."""

ACTION_TYPE = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


class Unusable(Exception):
    """A file that cannot be used; the message says why, and holds nothing of its content but names."""


class Mapped(NamedTuple):
    """A YAML file's mapping, and the line that each key is on, from 1."""

    values: dict[Any, Any]
    lines: dict[Any, int]


class _Loader(yaml.SafeLoader):
    """Plain YAML values only, and no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """As the base, which lets the last of two equal keys win in silence."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(problem="the same key stands here twice", problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


def read_text(path: Path) -> str:
    """The file's text; raises Unusable."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Unusable(f"{path} cannot be read: {error.strerror or type(error).__name__}") from None
    if len(data) > MAX_BYTES:
        raise Unusable(f"{path} is larger than {MAX_BYTES >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unusable(f"{path} is not text in UTF-8") from None


def read_mapping(path: Path) -> Mapped:
    """The YAML mapping in the file, nothing where the file is empty; raises Unusable."""
    loader: _Loader | None = None
    try:
        loader = _Loader(read_text(path))
        node = loader.get_single_node()
        values = None if node is None else loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unusable(f"{path}{_where(error)} is not valid YAML: {_problem(error)}") from None
    finally:
        if loader is not None:
            loader.dispose()
    if values is None:
        return Mapped({}, {})
    if not isinstance(node, yaml.MappingNode) or not isinstance(values, dict):
        raise Unusable(f"{path} does not hold a mapping, lines of the form `name: value`")
    lines = {key.value: key.start_mark.line + 1 for key, _ in node.value if isinstance(key, yaml.ScalarNode)}
    return Mapped(values, lines)


def _where(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f", line {mark.line + 1}, column {mark.column + 1}," if mark is not None else ""


def _problem(error: Exception) -> str:
    """What the parser says, less whatever it quotes, which may be part of a secret."""
    problem = getattr(error, "problem", None) or "a value cannot be read"
    return re.sub(r"""['"].*['"]""", "...", str(problem), flags=re.DOTALL)


def read_secret(path: Path, name: str) -> str:
    """The secret in a file, less the line break at its end; raises ConfigError, naming the setting `name`."""
    try:
        text = read_text(path)
    except Unusable as error:
        raise ConfigError([f"{name}: {error}"]) from None
    if not text.strip():
        raise ConfigError([f"{name}: {path} is empty; write the secret into it"])
    return text.removesuffix("\n").removesuffix("\r")


def read_actions(path: Path) -> dict[str, int]:
    """Points by action type; raises ConfigError with each row that is wrong."""
    try:
        rows = read_mapping(path)
    except Unusable as error:
        raise ConfigError([str(error)]) from None
    faults = [] if rows.values else [f"{path} holds no action; write lines of the form `level_complete: 50`"]
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
    """`, line 3` for a key whose line is known."""
    return f", line {lines[key]}" if isinstance(key, str) and key in lines else ""
