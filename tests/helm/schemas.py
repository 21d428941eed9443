"""JSON schemas for kubeconform, strict, from what the API server says of itself and from CRDs: no network is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.chart import parse

Object = dict[str, Any]

LOCATION = "{{ .Group }}_{{ .ResourceAPIVersion }}_{{ .ResourceKind }}.json"
"""The name of a kind's schema, in kubeconform's words."""

_NUMBER_OR_TEXT = {"anyOf": [{"type": "string"}, {"type": "number"}]}
_REF = "#/definitions/"


def write_schemas(folder: Path, openapi: Object, crds: list[Path], kinds: set[tuple[str, str]]) -> None:
    """A file for each of `kinds` (apiVersion, kind) that the API server (its /openapi/v2) or a CRD knows."""
    found = {**_built_in(openapi), **dict(_custom(crds))}
    for each in kinds & set(found):
        api_version, kind = each
        group, version = api_version.split("/")[0], api_version.split("/")[-1]  # v1 is both, to kubeconform
        (folder / f"{group}_{version}_{kind.lower()}.json").write_text(json.dumps(found[each]))


def _built_in(openapi: Object) -> dict[tuple[str, str], Object]:
    definitions = {name: _strict(each) for name, each in openapi["definitions"].items()}
    definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = _NUMBER_OR_TEXT
    found = {}
    for name, each in definitions.items():
        for gvk in each.get("x-kubernetes-group-version-kind", []):
            api_version = f"{gvk['group']}/{gvk['version']}" if gvk["group"] else gvk["version"]
            needed = {ref: definitions[ref] for ref in _reachable(name, definitions)}
            found[api_version, gvk["kind"]] = {"$ref": _REF + name, "definitions": needed}
    return found


def _custom(crds: list[Path]) -> Iterator[tuple[tuple[str, str], Object]]:
    for path in crds:
        spec = parse(path.read_text(encoding="utf-8"))[0]["spec"]
        for version in spec["versions"]:
            schema = _strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            yield (f"{spec['group']}/{version['name']}", spec["names"]["kind"]), schema


def _strict(schema: Any) -> Any:
    """The same, where a member that is not named is an error, and what may be a number or a text may."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string") is True:
        return _NUMBER_OR_TEXT
    found = {name: _strict(each) for name, each in schema.items()}
    if isinstance(found.get("properties"), dict) and found.get("x-kubernetes-preserve-unknown-fields") is not True:
        found.setdefault("additionalProperties", False)
    return found


def _reachable(name: str, definitions: dict[str, Object]) -> set[str]:
    found, waiting = set[str](), [name]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting += [ref.removeprefix(_REF) for ref in _refs(definitions[each])]
    return found


def _refs(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for each in schema.values():
            yield from _refs(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from _refs(each)
