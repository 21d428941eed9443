"""The components of the OpenAPI document: schemas, parameters, headers, and one response for each set of errors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, TypeAlias

import msgspec

from tornado_app.api.frontends.base import Frontend
from tornado_app.api.rest.board_version import CONDITION
from tornado_app.api.rest.operations import LIMITS, VERSION, Errors, Operation, Outcome, Parameter
from tornado_app.api.rest.submit import POLICY_NAME
from tornado_app.api.schema import BOARD_VERSION, WHOLE
from tornado_app.api.websocket.announcements import PeriodMessage
from tornado_app.api.websocket.handler import Authenticate
from tornado_app.core.errors import InsufficientScope, Unauthenticated
from tornado_app.core.policies import RateLimit
from tornado_app.http import errors
from tornado_app.http.errors import ErrorBody

Json: TypeAlias = dict[str, Any]

PLACE = "#/components/schemas/"

_LIMIT = RateLimit()


# -- schemas ------------------------------------------------------------------------------------------


class Schemas:
    """The types of bodies and messages, each under one name. `ABody` is `Body` of the operations with the prefix A."""

    def __init__(self, operations: Iterable[Operation], frontends: Iterable[Frontend]) -> None:
        self.components: Json = {}
        self._references: dict[type[Any], Json] = {}
        kinds: dict[str, list[type[Any]]] = defaultdict(list)
        for operation in operations:
            examples = [operation.body, *(outcome.example for outcome in operation.outcomes.values())]
            kinds[operation.tag.prefix] += [type(example) for example in examples if example is not None]
        for frontend in frontends:
            kinds[frontend.name] += map(type, frontend.messages)
        kinds[""] += [ErrorBody, Authenticate, PeriodMessage]
        for prefix, found in kinds.items():
            self._add(prefix, list(dict.fromkeys(found)))

    def reference(self, kind: type[Any]) -> Json:
        """`{"$ref": …}` to the schema of a type."""
        return self._references[kind]

    def description(self, kind: type[Any]) -> str:
        """The description of a type."""
        found: str = self.components[self.reference(kind)["$ref"].removeprefix(PLACE)]["description"]
        return found

    def _add(self, prefix: str, kinds: list[type[Any]]) -> None:
        references, components = msgspec.json.schema_components(kinds, ref_template=f"{PLACE}{prefix}{{name}}")
        self._references |= dict(zip(kinds, references, strict=True))
        self.components |= {prefix + name: _for_readers(schema) for name, schema in components.items()}


def _for_readers(schema: Json) -> Json:
    """A schema without redundant keywords, and with the size of integers, which generators of clients need."""
    found: Json = {}
    for name, value in schema.items():
        if name == "properties":
            found[name] = {member: _for_readers(inner) for member, inner in value.items()}
        elif name in ("items", "additionalProperties") and isinstance(value, dict):
            found[name] = _for_readers(value)
        elif name == "anyOf":
            found[name] = [_for_readers(inner) for inner in value]
        elif name == "description":
            found[name] = " ".join(value.split())  # a docstring
        elif name == "pattern":
            found[name] = value.removesuffix(WHOLE)
        elif name != "title" and (name, value) != ("default", None):
            found[name] = value
    return {**found, "format": "int64"} if found.get("type") == "integer" else found


# -- parameters and headers ---------------------------------------------------------------------------


def parameters(operations: Iterable[Operation]) -> Json:
    """All parameters, by key."""
    return {key(it): _parameter(it) for operation in operations for it in operation.parameters}


def key(parameter: Parameter) -> str:
    """The name of a parameter among the components."""
    return parameter.key or parameter.name


def _parameter(parameter: Parameter) -> Json:
    if parameter.maximum is None:
        schema: Json = {"type": "string", "pattern": parameter.pattern}
    else:
        schema = {"type": "integer", "minimum": 1, "maximum": parameter.maximum, "default": parameter.default}
    found = {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path" or None,
        "description": parameter.description,
        "schema": {name: value for name, value in schema.items() if value is not None},
        "example": parameter.example,
    }
    return {name: value for name, value in found.items() if value is not None}


def _text(description: str, example: str | None = None, **schema: Any) -> Json:
    found: Json = {"description": description, "schema": {"type": "string", **schema}}
    return found if example is None else {**found, "example": example}


HEADERS: Json = {
    "X-Request-Id": _text("Id of the request in the logs: the client's own if it sent one.", "5d1c4a90b7-2f"),
    "RateLimit-Policy": _text(
        "Updates (`q`) of a player in any window of `w` seconds.",
        f'"{POLICY_NAME}";q={_LIMIT.updates};w={_LIMIT.window:.0f}',
    ),
    "RateLimit": _text(
        "Updates left (`r`), and seconds until one more is available (`t`).",
        f'"{POLICY_NAME}";r={_LIMIT.updates - 1};t={_LIMIT.window:.0f}',
    ),
    "Idempotent-Replay": _text(
        "Present when the action had already been counted. No points were added.", enum=["true"]
    ),
    VERSION: _text(
        "Version of the board: an integer that grows, and is the same in every process. A read with this value as "
        f"`{CONDITION}` shows everything that this response shows.",
        str(BOARD_VERSION),
    ),
    "ETag": _text("Identifies this content.", '"4ac8b1d0f2e6937a5b1c0d9e"'),
    "Cache-Control": _text("Whether shared caches may store the response. They must revalidate it each time."),
    "Retry-After": {
        "description": "Seconds to wait before the next attempt.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 12,
    },
    "Upgrade": _text("The protocol to upgrade to.", enum=["websocket"]),
    "WWW-Authenticate": _text("The required credentials, and what was wrong.", 'Bearer realm="leaderboard"'),
}


# -- responses ----------------------------------------------------------------------------------------

_CHALLENGED = (Unauthenticated, InsufficientScope)
_WAIT = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE)


class Responses:
    """The responses of each operation by status. Errors are `components`, because most operations share them."""

    def __init__(self, schemas: Schemas) -> None:
        self.components: Json = {}
        self._schemas = schemas

    def of(self, operation: Operation) -> Json:
        """The member `responses` of an operation."""
        found = {status: self._outcome(outcome) for status, outcome in operation.outcomes.items()}
        kinds: dict[int, Errors] = defaultdict(tuple)
        for kind in operation.errors:
            kinds[errors.status(kind())] += (kind,)
        found |= {status: self._error(status, codes, limited=operation.limited) for status, codes in kinds.items()}
        return {str(status): found[status] for status in sorted(found)}

    def _outcome(self, outcome: Outcome) -> Json:
        found: Json = {"description": outcome.text}
        if not outcome.upgrades:
            found["headers"] = _headers("X-Request-Id", *outcome.headers)
        if outcome.example is not None:
            found["content"] = {"application/json": content(outcome.example, self._schemas)}
        return found

    def _error(self, status: int, kinds: Errors, *, limited: bool) -> Json:
        name = ".".join([*(["write"] if limited else []), str(status), *(kind.code for kind in kinds)])
        headers = ["X-Request-Id", *(LIMITS if limited else ())]
        headers += ["WWW-Authenticate"] if any(issubclass(kind, _CHALLENGED) for kind in kinds) else []
        headers += ["Retry-After"] if status in _WAIT else []
        headers += ["Upgrade"] if status == HTTPStatus.UPGRADE_REQUIRED else []
        codes = {"type": "object", "properties": {"error": {"enum": [kind.code for kind in kinds]}}}
        self.components[name] = {
            "description": " ".join(f"`{kind.code}`: {kind.message}" for kind in kinds),
            "headers": _headers(*headers),
            "content": {
                "application/json": {
                    "schema": {"allOf": [self._schemas.reference(ErrorBody), codes]},
                    "examples": {kind.code: {"value": {"error": kind.code, "message": kind.message}} for kind in kinds},
                }
            },
        }
        return {"$ref": f"#/components/responses/{name}"}


def content(example: msgspec.Struct, schemas: Schemas) -> Json:
    """A body as schema and example."""
    return {"schema": schemas.reference(type(example)), "example": msgspec.to_builtins(example)}


def _headers(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
