"""`/openapi.json`, `/asyncapi.json`, and `/docs`, the page that shows them to people."""

from __future__ import annotations

from importlib.resources import files

import msgspec

from tornado_app.api import asyncapi, openapi
from tornado_app.api.http import JSON_TYPE, Route
from tornado_app.api.pages import page


def routes() -> list[Route]:
    """All from memory; the page's script and style are among the pages' `/static/`."""
    html = (files("tornado_app.web") / "docs.html").read_bytes()
    return [
        page("/openapi.json", msgspec.json.encode(openapi.document()), JSON_TYPE[1]),
        page("/asyncapi.json", msgspec.json.encode(asyncapi.document()), JSON_TYPE[1]),
        page("/docs", html, "text/html; charset=utf-8"),
    ]
