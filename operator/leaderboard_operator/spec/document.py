"""The fields of the resource as a table, for docs/operator.md: `python -m leaderboard_operator.spec.document FILE`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from leaderboard_operator.spec.leaderboard import Spec
from leaderboard_operator.spec.openapi import Schema, schema

ELSEWHERE = ("settings",)
"""Fields whose own fields another document lists."""

BEGIN, END = "<!-- fields: made from the code, a test holds them against it -->\n", "<!-- end of fields -->\n"


def fields() -> str:
    """The table."""
    rows = ["| Field | Values | Default | Meaning |", "|---|---|---|---|"]
    for path, each, required in _leaves(schema(Spec), ""):
        given = "default" in each and each.get("type") != "group"
        default = "**required**" if required else f"`{json.dumps(each['default'])}`" if given else ""
        rows.append(f"| `{path}` | {_values(each)} | {default} | {_text(_meaning(each))} |")
    return "\n".join(rows) + "\n"


def inserted(text: str) -> str:
    """A document with the table between its marks."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + fields() + END + rest.partition(END)[2]


def _leaves(node: Schema, path: str) -> Iterator[tuple[str, Schema, bool]]:
    """Each field that holds a value or a list, with its path and whether it must be there."""
    for name, each in node.get("properties", {}).items():
        here = f"{path}.{name}".lstrip(".")
        yield from _leaf(each, here, required=name in node.get("required", []))


def _leaf(each: Schema, path: str, *, required: bool) -> Iterator[tuple[str, Schema, bool]]:
    if path in ELSEWHERE:
        yield path, {"type": "object", "description": each["description"]}, required
        return
    if each.get("type") == "object" and "properties" in each:
        if each.get("x-kubernetes-validations"):
            yield path, {**each, "type": "group"}, required
        yield from _leaves(each, path)
        return
    yield path, each, required
    yield from _leaves(each.get("items", {}), f"{path}[]")


def _values(each: Schema) -> str:
    if "enum" in each:
        return ", ".join(f"`{value}`" for value in each["enum"])
    kind: str = each.get("type", "text or number")
    if kind == "integer":
        return f"{each['minimum']} to {each['maximum']}"
    names = {"array": "list", "object": "map", "string": "text", "boolean": "true or false", "group": ""}
    most = each.get("maxItems") or each.get("maxProperties")
    bound = f", at most {most}" if most else f", at most {each['maxLength']}" if "maxLength" in each else ""
    return names.get(kind, kind) + bound


def _meaning(each: Schema) -> str:
    rules = [rule["message"] for rule in each.get("x-kubernetes-validations", [])]
    return " ".join([each["description"], *(f"Checked: {rule}." for rule in rules)])


def _text(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(inserted(file.read_text(encoding="utf-8")), encoding="utf-8")
