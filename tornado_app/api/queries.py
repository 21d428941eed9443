"""The arguments of a query. An unknown one is refused: `?period=weekly` must not return another board."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import parse_qsl

from tornado_app.api.errors import BadRequest

_SHOWN = 64
"""Characters of an unknown name that the refusal repeats."""


def check(query: str, known: Collection[str]) -> None:
    """Raises BadRequest for an argument that is not `known`, and for one that is named twice."""
    names = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
    for name in names:
        if name not in known:
            message = f"Unknown query argument {name[:_SHOWN]!a}. {_known(known)}"
            raise BadRequest(message, reason="query_argument", detail=message)
    if len(set(names)) < len(names):
        message = "A query argument is named twice."
        raise BadRequest(message, reason="query_argument", detail=message)


def _known(known: Collection[str]) -> str:
    if not known:
        return "This path takes none."
    return f"Known here: {', '.join(sorted(known))}."
