"""The AsyncAPI 3.0 description of the WebSockets, from the same types as the OpenAPI document's `x-websockets`.

`leaderboard asyncapi` prints it, `/asyncapi.json` serves it. Close codes, for which AsyncAPI has no place, are in each
channel's `x-closes`. Source: https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tornado_app import __version__
from tornado_app.api.board_routes import PREFIX
from tornado_app.api.frontends import FRONTENDS
from tornado_app.api.openapi.components import PLACE, Json, Schemas
from tornado_app.api.openapi.document import ABOUT_WEBSOCKETS, OPERATIONS, websocket_item
from tornado_app.api.rest.params import PERIOD
from tornado_app.api.rest.routes import SOCKET_ARGUMENTS
from tornado_app.core.boards import MAIN

_QUERY = {
    "period": PERIOD.description,
    "token": "A bearer token. URLs end up in logs, so prefer the message `authenticate`.",
}


def document() -> Json:
    """The description, as `json.dumps` takes it. It needs no server and no database."""
    schemas = Schemas(OPERATIONS, FRONTENDS)
    sockets = [websocket_item(frontend, path, schemas) for frontend in FRONTENDS for path, _ in frontend.sockets]
    messages = {_name(message): message for socket in sockets for message in socket["sends"] + socket["receives"]}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Leaderboard",
            "version": __version__,
            "description": f"A live top 10. {ABOUT_WEBSOCKETS}",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "wss": _server("wss"),
            "ws": _server("ws"),
            "wss-board": _board_server("wss"),
            "ws-board": _board_server("ws"),
        },
        "channels": {_id(socket): _channel(socket) for socket in sockets},
        "operations": dict(operation for socket in sockets for operation in _operations(socket)),
        "components": {
            "messages": {name: _message(name, message) for name, message in messages.items()},
            "schemas": _reachable(schemas.components, (message["schema"] for message in messages.values())),
            "securitySchemes": {"bearerAuth": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _server(protocol: str) -> Json:
    return {
        "host": "{host}",
        "protocol": protocol,
        "description": f"The board `{MAIN.name}` of the service that serves this document.",
        "variables": {"host": {"default": "127.0.0.1:8000", "description": "Host and port."}},
    }


def _board_server(protocol: str) -> Json:
    server = _server(protocol)
    name = {"default": MAIN.name, "description": "Name of the board; `GET /api/v1/boards` lists them."}
    variables = {**server["variables"], "board": name}
    return {**server, "pathname": f"{PREFIX}{{board}}", "description": "Any board.", "variables": variables}


def _id(socket: Json) -> str:
    path: str = socket["path"]
    return path.removeprefix("/ws/")


def _name(message: Json) -> str:
    reference: str = message["schema"]["$ref"]
    return reference.removeprefix(PLACE)


def _channel(socket: Json) -> Json:
    names = [_name(message) for message in socket["sends"] + socket["receives"]]
    properties = {name: {"type": "string", "description": _QUERY[name]} for name in sorted(SOCKET_ARGUMENTS)}
    query = {"type": "object", "properties": properties}
    return {
        "address": socket["path"],
        "summary": socket["summary"],
        "description": socket["description"],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "tags": [{"name": name} for name in socket["tags"]],
        "bindings": {"ws": {"method": "GET", "query": query}},
        "x-closes": socket["closes"],
    }


def _operations(socket: Json) -> Iterator[tuple[str, Json]]:
    """The service's: it sends boards, epochs and the player's own score, and receives a token."""
    channel = f"#/channels/{_id(socket)}"
    for action, part in (("send", "sends"), ("receive", "receives")):
        messages = [{"$ref": f"{channel}/messages/{_name(message)}"} for message in socket[part]]
        title = "The board and its changes" if action == "send" else "The player's token"
        yield (
            f"{action}-{_id(socket)}",
            {
                "action": action,
                "channel": {"$ref": channel},
                "title": title,
                "messages": messages,
            },
        )


def _message(name: str, message: Json) -> Json:
    return {
        "name": name,
        "summary": message["description"],
        "payload": message["schema"],
        "examples": [{"payload": message["example"]}],
    }


def _reachable(components: Json, roots: Iterable[Any]) -> Json:
    """The schemas that the roots refer to, directly or not."""
    found: Json = {}
    waiting: list[Any] = list(roots)
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            name = str(node.get("$ref", "")).removeprefix(PLACE)
            if name and name not in found:
                found[name] = components[name]
                waiting.append(components[name])
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
    return {name: found[name] for name in sorted(found)}
