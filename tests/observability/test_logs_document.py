"""docs/logs.md names every event that the code writes, and no other."""

from __future__ import annotations

import re

import pytest
from tornado.httputil import HTTPHeaders

from tests.support.project import ROOT
from tornado_app.http.dispatcher import trace_id

RESULTS = ("accepted", "replayed")
TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_every_log_event_is_documented():
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tornado_app").rglob("*.py"))
    written = set(re.findall(r'"event": "(\w+)"', code)) | {f"score_{result}" for result in RESULTS}
    text = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8").partition("## Events")[2].partition("## ")[0]
    assert set(re.findall(r"(?m)^\| `(\w+)` \|", text)) - {"event"} == written


def headers(traceparent: str) -> HTTPHeaders:
    return HTTPHeaders({"traceparent": traceparent})


@pytest.mark.parametrize("given", [f"00-{TRACE}-b7ad6b7169203331-01", f"01-{TRACE}-b7ad6b7169203331-00-what-comes"])
def test_valid_traceparent_is_continued(given):
    assert trace_id(headers(given)) == TRACE


@pytest.mark.parametrize(
    "given",
    [
        "",
        "nonsense",
        f"ff-{TRACE}-b7ad6b7169203331-01",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-b7ad6b7169203331-01",
        f"00-{TRACE}-b7ad6b7169203331-01-more",
    ],
)
def test_malformed_traceparent_is_ignored(given):
    assert trace_id(headers(given)) is None
