"""Removes tokens, and credentials in MongoDB URIs, from log lines. Time is linear in the line's length."""

from __future__ import annotations

import re

HIDDEN = "[redacted]"

# Base64url of `{"` and of `{` followed by white space: how the header of a JWS begins.
_HEADER = re.compile(r"e(?:y[ABIJ]|w[0klop])")
_DOTTED = re.compile(r"(?<![\w.-])[\w-]*+(?:\.[\w-]*+){2,}+", re.ASCII)
# In JSON a URI ends with its string, at a quote that no backslash escapes; in plain text only white space ends it.
_URI = {
    True: re.compile(r'(mongodb(?:\+srv)?://)((?:[^\s"\\]++|\\.)*+)'),
    False: re.compile(r"(mongodb(?:\+srv)?://)(\S*+)"),
}
_NAMED = re.compile(r"((?:\b[Bb]earer |[?&;](?:access_)?token=)\s*)(?!\[redacted\])[\w.~+/=%-]{12,}", re.ASCII)


def redacted(line: str, *, is_json: bool) -> str:
    """`line` without what looks like a JWS in compact form, a bearer token or the credentials of a MongoDB URI."""
    # Nearly every line has nothing to hide, and `in` is five times as fast as a pattern.
    if "ey" in line or "ew" in line:
        line = _DOTTED.sub(_without_token, line)
    if "mongodb" in line:
        line = _URI[is_json].sub(_without_credentials, line)
    if "earer" in line or "token=" in line:
        line = _NAMED.sub(rf"\1{HIDDEN}", line)
    return line


def _without_token(match: re.Match[str]) -> str:
    """The dotted words, cut off where a token begins: at a header that two more parts follow."""
    text = match[0]
    place = 0
    parts = text.split(".")
    for part in parts[:-2]:
        header = _HEADER.search(part)
        if header is not None and len(part) - header.start() >= 12:
            return text[: place + header.start()] + HIDDEN
        place += len(part) + 1
    return text


def _without_credentials(match: re.Match[str]) -> str:
    """The URI less all before its last @: a badly escaped password may hold one too."""
    _, at, place = match[2].rpartition("@")
    return f"{match[1]}{HIDDEN}@{place}" if at else match[0]
