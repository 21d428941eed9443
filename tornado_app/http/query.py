"""Checks the arguments of a query. Unknown ones are refused: `?period=weekly` must not return another board."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import parse_qsl

from tornado_app.http.errors import BadRequest
from tornado_app.http.refusal_log import clip


def check(query: str, known: Collection[str]) -> None:
    """Raises BadRequest for an argument that is not in `known`, and for a repeated one."""
    names = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
    for name in names:
        if name not in known:
            raise BadRequest(f"Unknown query parameter {clip(name)}. {_allowed(known)}", reason="query_argument")
    if len(set(names)) < len(names):
        raise BadRequest("A query parameter is repeated.", reason="query_argument")


def _allowed(known: Collection[str]) -> str:
    if not known:
        return "This path has none."
    return f"Known parameters: {', '.join(sorted(known))}."
