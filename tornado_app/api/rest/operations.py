"""Declarations of the requests, at their endpoints: routes and the OpenAPI document are made of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Literal, TypeVar

import msgspec

from tornado_app.core import errors
from tornado_app.core.errors import LeaderboardError
from tornado_app.core.model import Scope
from tornado_app.http.errors import (
    STATUS,
    BadRequest,
    BodyTooLarge,
    HeadersTooLarge,
    HostNotAllowed,
    UnsupportedMediaType,
)
from tornado_app.http.messages import Endpoint, Route

Errors = tuple[type[LeaderboardError], ...]

PROBE: Errors = (BadRequest, BodyTooLarge, HeadersTooLarge, LeaderboardError)
"""Errors of every request."""

ANY: Errors = (*PROBE, HostNotAllowed)
"""Errors of every request that is not a probe."""

CREDENTIALS: Errors = (errors.MissingToken, errors.InvalidToken, errors.ExpiredToken, errors.RateLimited)
"""Errors of a request with a token. RateLimited: the address sent too many bad tokens."""

BODY: Errors = (errors.InvalidJson, errors.InvalidBody, UnsupportedMediaType)
FORBIDDEN: Errors = tuple(kind for kind in errors.Forbidden.__subclasses__() if kind.__module__ == errors.__name__)
UNAVAILABLE: Errors = tuple(kind for kind, status in STATUS if status == HTTPStatus.SERVICE_UNAVAILABLE)
SCORE: Errors = (
    *ANY,
    *CREDENTIALS,
    *BODY,
    errors.InvalidIncrement,
    errors.OutOfBounds,
    errors.UnknownActionType,
    *(kind for kind in FORBIDDEN if kind is not errors.InsufficientScope),
    errors.ActionConflict,
    errors.WrongRule,
    errors.DatabaseError,
    *UNAVAILABLE,
)
"""Errors of a score update."""

LIMITS = ("RateLimit-Policy", "RateLimit")
VERSION = "Board-Version"


class Access(msgspec.Struct, frozen=True):
    """Which token a request needs: the security requirements of OpenAPI, and a sentence for the summary."""

    security: tuple[dict[str, list[str]], ...] = ()
    sentence: str = ""


ANYONE = Access()
OPTIONAL = Access(({}, {"bearerAuth": []}))
PLAYER = Access(({"bearerAuth": []},), f"Needs the player's token or {Scope.WRITE}.")
PLAYER_OR_MODERATOR = Access(({"bearerAuth": []},), f"Needs the player's token or {Scope.ADMIN}.")
MODERATOR = Access(({"bearerAuth": [Scope.ADMIN.value]},), f"Needs {Scope.ADMIN}.")


class Tag(msgspec.Struct, frozen=True):
    """A group of operations. `prefix` begins the names of its schemas."""

    name: str
    description: str
    prefix: str = ""


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter; with a `maximum` it is an integer from 1.

    `key`: its name among the components of the document, if several have the same `name`. `example`: of a path or query
    parameter, the value in the example of the request.
    """

    name: str
    place: Literal["path", "query", "header"]
    description: str
    pattern: str | None = None
    maximum: int | None = None
    default: int | None = None
    example: str | int | None = None
    key: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """A response that is not an error. The type of `example` is the type of the body; None is no body.

    `upgrades`: it ends HTTP, so it has none of the headers that all HTTP responses have.
    """

    text: str
    example: msgspec.Struct | None = None
    headers: tuple[str, ...] = ()
    upgrades: bool = False


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method on one path. `body`: an example of it. `limited`: it counts for the player's rate limit.

    `noun`: a part of the id, for a path that differs from another one in its parameters only.
    """

    method: str
    path: str
    tag: Tag
    summary: str
    outcomes: dict[int, Outcome]
    errors: Errors = ANY
    access: Access = ANYONE
    parameters: tuple[Parameter, ...] = ()
    body: msgspec.Struct | None = None
    body_required: bool = True
    limited: bool = False
    any_host: bool = False
    noun: str = ""

    @property
    def id(self) -> str:
        """A name for generated clients: `postUpdateScore`."""
        words = re.sub(r"\{\w+\}|^/api/", "", f"{self.path}/{self.noun}")
        return self.method.lower() + "".join(word.capitalize() for word in re.findall(r"\w+", words))


def cached(example: msgspec.Struct, *more: str) -> dict[int, Outcome]:
    """The outcomes of a read that clients may ask for again with `If-None-Match`."""
    headers = ("ETag", "Cache-Control", *more)
    return {200: Outcome("The current state.", example, headers), 304: Outcome("Not modified.", None, headers)}


def routes(handled: Iterable[tuple[Operation, Endpoint]]) -> list[Route]:
    """Each path once, with the endpoints of its methods and the query parameters that it knows."""
    paths: dict[str, list[tuple[Operation, Endpoint]]] = defaultdict(list)
    for operation, endpoint in handled:
        paths[operation.path].append((operation, endpoint))
    return [_route(path, endpoints) for path, endpoints in paths.items()]


def _route(path: str, endpoints: list[tuple[Operation, Endpoint]]) -> Route:
    query = {it.name for operation, _ in endpoints for it in operation.parameters if it.place == "query"}
    any_host = all(operation.any_host for operation, _ in endpoints)
    methods = {operation.method: endpoint for operation, endpoint in endpoints}
    return Route(path, methods, None if any_host else frozenset(query), any_host)


# -- endpoints that are methods -----------------------------------------------------------------------

Method = TypeVar("Method", bound=Callable[..., Any])


def handles(operation: Operation) -> Callable[[Method], Method]:
    """Declares the operation that a method is the endpoint of."""

    def decorate(method: Method) -> Method:
        method.__dict__["operation"] = operation
        return method

    return decorate


def operations_of(kind: type) -> list[Operation]:
    """The operations that the methods of a class handle, in the order of its source."""
    return [member.operation for member in vars(kind).values() if hasattr(member, "operation")]


def routes_of(endpoints: object) -> list[Route]:
    """The routes to the methods of an instance."""
    members = [(name, member) for name, member in vars(type(endpoints)).items() if hasattr(member, "operation")]
    return routes((member.operation, getattr(endpoints, name)) for name, member in members)
