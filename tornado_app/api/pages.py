"""The live page, the API's description and their files: from memory, with a strict Content-Security-Policy."""

from __future__ import annotations

import mimetypes
from importlib.resources import files

import msgspec

from tornado_app.api.openapi import asyncapi, document
from tornado_app.http.conditional import etag_of, not_modified_or
from tornado_app.http.messages import JSON_TYPE, Request, Response, Route

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; "
    "img-src 'self' https: http: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_DEMO_MARK = b"<!--demo-->"
_DEMO_META = b'<meta name="leaderboard-demo" content="true">'
_SERVED = (".js", ".d.ts", ".css", ".svg", ".png", ".ico", ".webmanifest")


mimetypes.add_type("text/javascript", ".js")
mimetypes.add_type("text/plain", ".ts")  # by default a video; TypeScript has no registered type


def static_routes(*, demo: bool = False) -> list[Route]:
    """`/`, `/static/<file>` and `/static/docs/<file>`; on the demo the page may offer to play."""
    folder = files("tornado_app.web")
    index = (folder / "index.html").read_bytes()
    found = [page("/", index.replace(_DEMO_MARK, _DEMO_META if demo else b""), "text/html; charset=utf-8")]
    for prefix, part in (("", folder), ("", folder / "client"), ("docs/", folder / "docs")):
        for entry in part.iterdir():
            if entry.name.endswith(_SERVED):
                kind = mimetypes.guess_type(entry.name)[0] or "application/octet-stream"
                charset = "; charset=utf-8" if kind.startswith("text/") else ""
                found.append(page(f"/static/{prefix}{entry.name}", entry.read_bytes(), kind + charset))
    return found


def page(path: str, body: bytes, content_type: str) -> Route:
    """A file that stays as it is for as long as the process runs."""
    etag = etag_of(body)
    headers = [("Content-Type", content_type), ("ETag", etag), ("Cache-Control", "no-cache")]
    headers += [("Content-Security-Policy", CSP), ("Referrer-Policy", "no-referrer")]
    if path.startswith("/static/"):
        headers.append(("Access-Control-Allow-Origin", "*"))  # any frontend may import the client module
    response = Response(200, body, tuple(headers))

    def get(request: Request) -> Response:
        return not_modified_or(request, response, etag)

    return Route(path, {"GET": get})


def openapi_routes() -> list[Route]:
    """`/openapi.json`, `/asyncapi.json`, and `/docs`, a page that shows them with files of `/static/`."""
    html = (files("tornado_app.web") / "docs" / "index.html").read_bytes()
    return [
        page("/openapi.json", msgspec.json.encode(document.document()), JSON_TYPE[1]),
        page("/asyncapi.json", msgspec.json.encode(asyncapi.document()), JSON_TYPE[1]),
        page("/docs", html, "text/html; charset=utf-8"),
    ]
