"""The trace that a request belongs to, as its caller says. Source: W3C Trace Context, section 3.2."""

from __future__ import annotations

import re

_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def trace_id(traceparent: str | None) -> str | None:
    """The trace's id, 32 hexadecimal digits; None where the header names none. Later versions may add to its end."""
    found = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if found is None or (found[1] == "00" and found[3]):
        return None
    return found[2]
