"""Lookups in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlencode

from tornado_app.api.openapi import document

DOCUMENT = document.document()
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}
OF_PERIODS = {name for name, (_, path, _) in OPERATIONS.items() if "periods/{period}" in path} | {"getV1Periods"}
"""Operations that need a board with periods: tests/service/test_periods.py requests them."""

SOCKETS = {socket["path"]: socket for socket in DOCUMENT["x-websockets"]}


class Example(NamedTuple):
    """The request in the document's example of an operation."""

    method: str
    path: str
    body: Any


def example(name: str) -> Example:
    """Of the operation with this id."""
    method, path, operation = OPERATIONS[name]
    parameters = [it for it in map(resolve, operation.get("parameters", ())) if "example" in it]
    path = path.format(**{it["name"]: it["example"] for it in parameters if it["in"] == "path"})
    query = urlencode({it["name"]: it["example"] for it in parameters if it["in"] == "query"})
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
    return Example(method, f"{path}?{query}" if query else path, body)


def resolve(node: dict[str, Any]) -> dict[str, Any]:
    """What a reference stands for."""
    while "$ref" in node:
        found = DOCUMENT
        for key in node["$ref"].removeprefix("#/").split("/"):
            found = found[key]
        node = found
    return node


def check(value: Any, schema: dict[str, Any]) -> None:
    """Hold a value against a schema of the document."""
    from jsonschema import Draft202012Validator  # it compiles 39 grammars, which not every worker needs

    Draft202012Validator({"components": DOCUMENT["components"], **schema}).validate(value)


def members(schema: dict[str, Any]) -> tuple[set[str], set[str]]:
    """The names that an object of this schema must have, and those that it may have."""
    found = resolve(schema)
    return set(found["required"]), set(found["properties"])


def nodes(value: Any) -> Iterator[Any]:
    """A JSON value and everything in it."""
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(inner)
