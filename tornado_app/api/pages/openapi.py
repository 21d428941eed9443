"""`/openapi.json`, `/asyncapi.json`, and `/docs`, the page that shows them to people."""

from __future__ import annotations

from importlib.resources import files

import msgspec

from tornado_app.api.openapi import asyncapi, document
from tornado_app.api.pages.static import page
from tornado_app.http.messages import JSON_TYPE, Route


def routes() -> list[Route]:
    """All from memory; the page's script and style are among the pages' `/static/`."""
    html = (files("tornado_app.web") / "docs" / "index.html").read_bytes()
    return [
        page("/openapi.json", msgspec.json.encode(document.document()), JSON_TYPE[1]),
        page("/asyncapi.json", msgspec.json.encode(asyncapi.document()), JSON_TYPE[1]),
        page("/docs", html, "text/html; charset=utf-8"),
    ]
