"""Records the output of the services in a run, and searches it for secrets."""

from __future__ import annotations

import base64
import json
import urllib.request
from urllib.parse import quote

SHORTEST = 16
"""Minimum length of a text that is searched for: a shorter one may be found by chance."""


class OutputRecorder:
    """`secrets`: forbidden texts by description; `credentials`: signatures of tokens and proofs."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.credentials: set[str] = set()
        self._outputs: list[bytes] = []

    def record(self, output: bytes) -> None:
        """Record a response, a message or a log."""
        self._outputs.append(output)

    def scrape(self, url: str) -> None:
        """Record /metrics."""
        with urllib.request.urlopen(url, timeout=30) as answer:
            self.record(answer.read())

    @property
    def size(self) -> int:
        """Bytes recorded."""
        return sum(map(len, self._outputs))

    @property
    def output(self) -> bytes:
        """All that was recorded."""
        return b"\n".join(self._outputs)

    def leaks(self) -> list[str]:
        """Description and context of each secret in the output."""
        output = self.output
        wanted = [(name, form) for name, secret in self.secrets.items() for form in forms(secret)]
        ends = {end for signature in self.credentials for end in (signature[:SHORTEST], signature[-SHORTEST:])}
        wanted += [("a token or proof", end.encode()) for end in ends]
        places = [(name, output.find(form)) for name, form in wanted]
        return [f"{name}: …{output[max(0, n - 80) : n].decode(errors='replace')}<here>" for name, n in places if n >= 0]


def forms(secret: str) -> set[bytes]:
    """A secret in the encodings that a log or a response may use."""
    assert len(secret) >= SHORTEST
    octets = secret.encode()
    spellings = {octets, quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode(), octets.hex().encode()}
    for shift in range(3):  # base64 of a longer text that holds it, wherever it begins
        encoded = base64.b64encode(b"\0" * shift + octets)[4 if shift else 0 : -4]
        spellings |= {encoded, encoded.replace(b"+", b"-").replace(b"/", b"_")}
    return spellings
