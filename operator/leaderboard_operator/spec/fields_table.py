"""The table of fields in docs/operator.md. `python -m leaderboard_operator.spec.fields_table FILE` updates it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from leaderboard_operator.spec.leaderboard import Spec
from leaderboard_operator.spec.openapi import Schema, schema

DOCUMENTED_ELSEWHERE = ("settings",)
"""Fields whose members another document lists."""

BEGIN, END = "<!-- fields: generated from the code, checked by a test -->\n", "<!-- end of fields -->\n"


def table() -> str:
    rows = ["| Field | Values | Default | Meaning |", "|---|---|---|---|"]
    for path, node, required in _leaves(schema(Spec), ""):
        has_default = "default" in node and node.get("type") != "group"
        default = "**required**" if required else f"`{json.dumps(node['default'])}`" if has_default else ""
        rows.append(f"| `{path}` | {_values(node)} | {default} | {_text(_meaning(node))} |")
    return "\n".join(rows) + "\n"


def with_table(text: str) -> str:
    """The document with the current table between its marks."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


def _leaves(parent: Schema, path: str) -> Iterator[tuple[str, Schema, bool]]:
    """Each field that holds a value or a list: its path, its schema, and whether it is required."""
    for name, node in parent.get("properties", {}).items():
        yield from _leaf(node, f"{path}.{name}".lstrip("."), required=name in parent.get("required", []))


def _leaf(node: Schema, path: str, *, required: bool) -> Iterator[tuple[str, Schema, bool]]:
    if path in DOCUMENTED_ELSEWHERE:
        yield path, {"type": "object", "description": node["description"]}, required
        return
    if node.get("type") == "object" and "properties" in node:
        if node.get("x-kubernetes-validations"):
            yield path, {**node, "type": "group"}, required
        yield from _leaves(node, path)
        return
    yield path, node, required
    yield from _leaves(node.get("items", {}), f"{path}[]")
    values = node.get("additionalProperties", {})
    if "properties" in values:
        yield from _leaf(values, f"{path}.*", required=False)


def _values(node: Schema) -> str:
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    kind: str = node.get("type", "text or number")
    if kind == "integer":
        return f"{node['minimum']} to {node['maximum']}"
    names = {"array": "list", "object": "map", "string": "text", "boolean": "true or false", "group": ""}
    max_items = node.get("maxItems") or node.get("maxProperties")
    bound = f", at most {max_items}" if max_items else f", at most {node['maxLength']}" if "maxLength" in node else ""
    return names.get(kind, kind) + bound


def _meaning(node: Schema) -> str:
    rules = [rule["message"] for rule in node.get("x-kubernetes-validations", [])]
    return " ".join([node["description"], *(f"Checked: {rule}." for rule in rules)])


def _text(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(with_table(file.read_text(encoding="utf-8")), encoding="utf-8")
