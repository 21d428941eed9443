"""Requests that are not HTTP, or that two servers could read in two ways; the service refuses each with 400.

Sources: RFC 9112, sections 2.2, 5 and 6.
"""


def get(line="GET /healthz HTTP/1.1", *headers):
    return "\r\n".join([line, "Host: x", *headers, "", ""]).encode("latin-1")


def post(*headers, body=b"{}    "):
    return get("POST /api/score HTTP/1.1", *headers) + body


AMBIGUOUS = {
    "length and chunked (CL.TE)": (["Content-Length: 4", "Transfer-Encoding: chunked"], b"0\r\n\r\n"),
    "chunked and length (TE.CL)": (["Transfer-Encoding: chunked", "Content-Length: 4"], b"0\r\n\r\n"),
    "chunked and identity (TE.TE)": (["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], b"0\r\n\r\n"),
    "chunked after a tab, and identity": (["Transfer-Encoding: \tchunked, identity"], b"0\r\n\r\n"),
    "chunked in two headers": (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], b"0\r\n\r\n"),
    "chunked twice in one header": (["Transfer-Encoding: chunked, chunked"], b"0\r\n\r\n"),
    "xchunked": (["Transfer-Encoding: xchunked"], b"0\r\n\r\n"),
    "unknown transfer coding": (["Transfer-Encoding: gzip"], b"0\r\n\r\n"),
    "space before the colon": (["Transfer-Encoding : chunked"], b"0\r\n\r\n"),
    "lengths that differ": (["Content-Length: 0", "Content-Length: 4"], b""),
    "lengths in a list": (["Content-Length: 0, 4"], b""),
    "length with a sign": (["Content-Length: +0"], b""),
    "folded line": (["X-A: 1", " Content-Length: 4"], b""),
    "bare CR in a value": (["X-A: 1\rContent-Length: 4"], b""),
    "NUL in a name": (["Content-Length\0: 4"], b""),
    "chunk extension with a line feed": (["Transfer-Encoding: chunked"], b"0;\n\r\n\r\n"),
    "chunk size with a prefix": (["Transfer-Encoding: chunked"], b"0x0\r\n\r\n"),
    "trailer that is a header": (["Transfer-Encoding: chunked"], b"0\r\nContent-Length: 400\r\n\r\n"),
}
"""Headers of a POST and the beginning of its body. What follows on the connection may be read as a second request."""


def _chunked(body):
    return post("Transfer-Encoding: chunked", body=body)


MALFORMED = {
    "nothing but words": b"hello there\r\n\r\n",
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/3": get("GET /healthz HTTP/3.0"),
    "no such version": get("GET /healthz HTTP/1.x"),
    "lower-case version": get("GET /healthz http/1.1"),
    "space in the target": get("GET /health z HTTP/1.1"),
    "no target": get("GET  HTTP/1.1"),
    "NUL in the target": get("GET /\0 HTTP/1.1"),
    "bad method": get("G(T /healthz HTTP/1.1"),
    "tab instead of space": get("GET\t/healthz\tHTTP/1.1"),
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no colon": post("Bad"),
    "space before the colon of any header": post("Bad : 1"),
    "empty name": post(": 1"),
    "NUL in any name": post("A\0: 1"),
    "folded line of any header": post("A: 1", " 2"),
    "NUL in a value": post("A: 1\x002"),
    "bare CR in any value": post("A: 1\r2"),
    "control character in a value": post("A: \x01"),
    "lengths that differ, with a body": post("Content-Length: 5", "Content-Length: 6"),
    "lengths in a list, with a body": post("Content-Length: 5, 6"),
    "negative length": post("Content-Length: -1"),
    "length with a sign, with a body": post("Content-Length: +5"),
    "length with an underscore": post("Content-Length: 1_0"),
    "hexadecimal length": post("Content-Length: 0x5"),
    "superscript length": post("Content-Length: \xb2"),
    "empty length": post("Content-Length:"),
    "bad chunk size": _chunked(b"xyz\r\n\r\n"),
    "negative chunk size": _chunked(b"-1\r\n\r\n"),
    "chunk size with an underscore": _chunked(b"0_5\r\n\r\n"),
    "long chunk size": _chunked(b"0" * 100 + b"\r\n\r\n"),
    "chunk without its end": _chunked(b"2\r\n{}XX0\r\n\r\n"),
    "trailer": _chunked(b"0\r\nX-A: 1\r\n\r\n"),
    **{name: post(*headers, body=body + get()) for name, (headers, body) in AMBIGUOUS.items()},
}
"""The bytes of whole requests; an ambiguous one has a second request behind it."""
