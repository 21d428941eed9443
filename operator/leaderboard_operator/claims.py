"""Which Leaderboard has which database: the older one keeps it."""

from __future__ import annotations

import re
from hashlib import sha256

import msgspec

Key = tuple[str, str]
"""Namespace and name of a Leaderboard."""


class Claim(msgspec.Struct, frozen=True, order=True):
    """What a Leaderboard claims. The older one wins, of equally old ones the first by name."""

    created: str
    key: Key
    database: str = ""


def database(uri: str, name: str) -> str:
    """One database, the same for two connection strings that name the same servers; no secret can be read from it."""
    hosts = re.split(r"[/?]", uri.partition("://")[2].rpartition("@")[2], maxsplit=1)[0]
    return sha256(f"{','.join(sorted(hosts.lower().split(',')))}\0{name}".encode()).hexdigest()


class Claims:
    """The claims of all Leaderboards that the operator sees."""

    def __init__(self) -> None:
        self._claims: dict[Key, Claim] = {}

    def put(self, claim: Claim) -> set[Key]:
        """Note a claim; the others that this concerns."""
        before = self._claims.get(claim.key)
        self._claims[claim.key] = claim
        return set() if before == claim else self._sharing(before) | self._sharing(claim)

    def __contains__(self, key: Key) -> bool:
        """Whether it is known what `key` claims."""
        return key in self._claims

    def drop(self, key: Key) -> set[Key]:
        """A Leaderboard is gone; the others that this concerns."""
        return self._sharing(self._claims.pop(key, None))

    def rival(self, key: Key) -> str:
        """The Leaderboard that has what `key` claims, or nothing where it is `key` itself."""
        mine = self._claims[key]
        first = min(each for each in self._claims.values() if each.database == mine.database)
        return "" if first.key == key else "/".join(first.key)

    def _sharing(self, claim: Claim | None) -> set[Key]:
        if claim is None:
            return set()
        return {key for key, each in self._claims.items() if each.database == claim.database and key != claim.key}
