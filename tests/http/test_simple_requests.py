"""The parser of the fast path accepts only what Tornado's parser reads in the same way."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fuzz.targets import request as same_as_tornado
from tornado_app.http.fast_path import parse_simple_request
from tornado_app.http.messages import MAX_HEADERS
from tornado_app.http.request_checks import MAX_BODY

HEAD = b"POST /api/score?x=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nX-Mixed: \t a b\xe9 \r\nEmpty:\r\n\r\n"


def test_parse_simple_request_returns_method_path_headers_and_body():
    found = parse_simple_request(HEAD + b"{}")
    assert (found.method, found.path, found.query, found.body) == ("POST", "/api/score", "x=1", b"{}")
    assert dict(found.headers) == {"host": "x", "content-length": "2", "x-mixed": "a b\xe9", "empty": ""}
    assert found.headers.get("X-MIXED") == found.headers["x-Mixed"] == "a b\xe9"
    assert ("EMPTY" in found.headers, "none" in found.headers, 1 in found.headers) == (True, False, False)
    assert (found.headers.get("none"), found.headers.get("none", "-")) == (None, "-")


INELIGIBLE = {
    "not whole": HEAD + b"{",
    "more than one": HEAD + b"{}G",
    "no body where one is announced": HEAD,
    "a body that nothing announces": b"POST / HTTP/1.1\r\nHost: x\r\n\r\n{}",
    "an empty length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n",
    "a long zero": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 00\r\n\r\n",
    "head alone": b"GET / HTTP/1.1\r\nHost: x\r\n",
    "no host": b"GET / HTTP/1.1\r\nA: x\r\n\r\n",
    "no headers": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n",
    "HTTP/1.0": b"GET / HTTP/1.0\r\nHost: x\r\n\r\n",
    "another method": b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
    "absolute form": b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "chunks": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    "expectations": b"GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
    "an upgrade": b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n",
    "the last one": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: x\n\n",
    "a line feed among them": b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
    "a break before it": b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a large head": b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * MAX_HEADERS + b"\r\n\r\n",
    "a large body": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1)
    + b"x" * (MAX_BODY + 1),
}


@pytest.mark.parametrize("data", INELIGIBLE.values(), ids=INELIGIBLE)
def test_ineligible_requests_fall_back_to_tornado(data):
    assert parse_simple_request(data) is None


PIECES = st.sampled_from([
    b"GET ", b"POST ", b"/", b"/api/score", b" HTTP/1.1", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"Host: x\r\n", b"A:",
    b" ", b"\t", b"Content-Length: ", b"0", b"1", b"+1", b"Connection: keep-alive\r\n", b"\x00", b"\x7f", b"\xff",
])  # fmt: skip


@given(st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=20).map(b"".join)))
@example(HEAD + b"{}")
def test_simple_request_is_parsed_as_tornado_parses_it(data):
    same_as_tornado(data)


@given(st.data())
def test_mutated_simple_request_is_parsed_as_tornado_parses_it(data):
    whole = HEAD + b"{}"
    place = data.draw(st.integers(0, len(whole)))
    gone = data.draw(st.integers(0, 3))
    same_as_tornado(whole[:place] + data.draw(st.one_of(st.binary(max_size=3), PIECES)) + whole[place + gone :])


def test_common_client_requests_are_simple():
    """Control: common requests use the fast path."""
    assert same_as_tornado(HEAD + b"{}")
    assert same_as_tornado(b"GET /api/top-scores HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nUser-Agent: curl/8.5.0\r\n\r\n")
