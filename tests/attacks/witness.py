"""Remembers all that the services have said in a run, and looks for secrets in it."""

from __future__ import annotations

import base64
import json
import urllib.request
from urllib.parse import quote

SHORTEST = 16
"""Characters of the shortest text that is looked for: a shorter one is found by chance."""


class Witness:
    """`secrets`: what must not be said, by what it is; `credentials`: the signatures of tokens and proofs."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.credentials: set[str] = set()
        self._heard: list[bytes] = []

    def hear(self, said: bytes) -> None:
        """Keep what a service said: an answer, a message, a log."""
        self._heard.append(said)

    def scrape(self, url: str) -> None:
        """Keep what /metrics says."""
        with urllib.request.urlopen(url, timeout=30) as answer:
            self.hear(answer.read())

    @property
    def size(self) -> int:
        """Bytes heard."""
        return sum(map(len, self._heard))

    def leaks(self) -> list[str]:
        """What each secret that was said is, and words around it."""
        said = b"\n".join(self._heard)
        wanted = [(name, form) for name, secret in self.secrets.items() for form in forms(secret)]
        ends = {end for signature in self.credentials for end in (signature[:SHORTEST], signature[-SHORTEST:])}
        wanted += [("a token or proof", end.encode()) for end in ends]
        places = [(name, said.find(form)) for name, form in wanted]
        return [f"{name}: …{said[max(0, n - 80) : n].decode(errors='replace')}<here>" for name, n in places if n >= 0]


def forms(secret: str) -> set[bytes]:
    """A secret in the spellings that a log or an answer could have."""
    assert len(secret) >= SHORTEST
    octets = secret.encode()
    spellings = {octets, quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode(), octets.hex().encode()}
    for shift in range(3):  # base64 of a longer text that holds it, wherever it begins
        encoded = base64.b64encode(b"\0" * shift + octets)[4 if shift else 0 : -4]
        spellings |= {encoded, encoded.replace(b"+", b"-").replace(b"/", b"_")}
    return spellings
