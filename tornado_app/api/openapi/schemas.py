"""JSON Schemas and examples of what goes over the wire, from the code's own types."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import msgspec

from tornado_app.api.frontends.base import Frontend
from tornado_app.api.rest import history, moderation, players, probes
from tornado_app.api.schema.fields import WHOLE
from tornado_app.api.websocket import handler
from tornado_app.http import errors

Json: TypeAlias = dict[str, Any]

PLACE = "#/components/schemas/"
SHARED: tuple[type[Any], ...] = (
    players.PlayerAnswer,
    players.Around,
    players.Page,
    players.ProfileBody,
    history.HistoryPage,
    probes.Health,
    errors.ErrorBody,
    handler.Authenticate,
)
"""What belongs to no frontend."""

MODERATION: tuple[type[Any], ...] = (
    moderation.ModerationRequest,
    moderation.TakeBack,
    moderation.State,
    moderation.Export,
)


class Schemas:
    """Every type on the wire under one name, which begins with whose it is: `ABody`, `ModerationCase`."""

    def __init__(self, frontends: Iterable[Frontend]) -> None:
        self.components: Json = {}
        self._references: dict[type[Any], Json] = {}
        for frontend in frontends:
            kinds = [kind for write in frontend.writes for kind in (write.body, write.answer)]
            self._add(frontend.name, [*kinds, *(read.answer for read in frontend.reads), *frontend.messages])
        self._add("", SHARED)
        self._add("Moderation", MODERATION)

    def reference(self, kind: type[Any]) -> Json:
        """`{"$ref": …}` to a type's schema."""
        return self._references[kind]

    def description(self, kind: type[Any]) -> str:
        """What the type says of itself."""
        found: str = self._resolve(self.reference(kind))["description"]
        return found

    def example(self, kind: type[Any]) -> Any:
        """A value of the type, made of its members' examples; members that may be left out only where they have one."""
        return self._example(self.reference(kind))

    def _add(self, prefix: str, kinds: Iterable[type[Any]]) -> None:
        found = list(dict.fromkeys(kinds))
        references, components = msgspec.json.schema_components(found, ref_template=f"{PLACE}{prefix}{{name}}")
        self._references |= dict(zip(found, references, strict=True))
        self.components |= {prefix + name: _for_readers(schema) for name, schema in components.items()}

    def _resolve(self, schema: Json) -> Json:
        while "$ref" in schema:
            schema = self.components[schema["$ref"].removeprefix(PLACE)]
        return schema

    def _example(self, schema: Json) -> Any:
        schema = self._resolve(schema)
        for given in ("examples", "enum"):
            if given in schema:
                return schema[given][0]
        if "anyOf" in schema:
            return self._example(schema["anyOf"][0])
        if schema["type"] == "array":
            return [self._example(schema["items"])]
        if schema["type"] == "object":
            members, required = schema.get("properties", {}).items(), schema.get("required", ())
            return {name: self._example(s) for name, s in members if name in required or "examples" in s}
        return {"boolean": True, "integer": 1, "string": "text"}[schema["type"]]


def _for_readers(schema: Json) -> Json:
    """A schema without what tells nothing, and with the integers' size, which generators of clients look for."""
    found: Json = {}
    for name, value in schema.items():
        if name == "properties":
            found[name] = {member: _for_readers(inner) for member, inner in value.items()}
        elif name == "items":
            found[name] = _for_readers(value)
        elif name == "anyOf":
            found[name] = [_for_readers(inner) for inner in value]
        elif name == "pattern":
            found[name] = value.removesuffix(WHOLE)
        elif name != "title" and (name, value) != ("default", None):
            found[name] = value
    return {**found, "format": "int64"} if found.get("type") == "integer" else found
