"""The ledger's entries and their chains: each entry is numbered within its player, and contains the previous hash.

So an entry that is changed, removed or inserted invalidates every later one. The hash has no key: a complete rewrite of
a chain by a writer of the database is not detected. Old entries may be folded into the oldest kept one, the checkpoint:
its hash covers their number, their sum and the hash of the last of them. Source: docs/ledger.md.
"""

from __future__ import annotations

from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

import msgspec

from tornado_app.core.versions import exact_version

FORMAT = 1
"""The first member of the hashed array; another encoding gets another number."""

ERASURES = ""
"""The chain of erasures, without a player; it is not a user id, which has at least one character."""


class EntryKind(StrEnum):
    """Kind of a ledger entry.

    `opening`: the score when the ledger began. `reconciled`: changes that were missed while the change stream's history
    was lost. `external`: a change of a score that the service did not make.
    """

    ACTION = "action"
    REGISTER = "register"
    PROFILE = "profile"
    TAKE_BACK = "take_back"
    SUSPEND = "suspend"
    REINSTATE = "reinstate"
    HIDE = "hide"
    SHOW = "show"
    ERASE = "erase"
    OPENING = "opening"
    RECONCILED = "reconciled"
    EXTERNAL = "external"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the ledger: the `n`th of its player, from 1.

    `write_id`: the id of the write, unique. `points`: added to the score; `score`: the sum so far. `at`:
    milliseconds since the epoch, by the clock of the writing process; `version`: the board version of the database's
    cluster time; `increment`: its increment if `version` does not contain it, which the hash does not cover. `by`: the
    caller. `id`, `type`, `frontend`: of an action. `reason`: of a moderation; of a profile change, the changed members.
    `takes_back`: the actions that a take-back takes back. `hash`: 32 bytes. `checkpoint`: the hash of entry n - 1, if
    the n - 1 older entries, of score - points points in all, were folded into this one; else empty.
    """

    write_id: str
    player: str
    n: int
    kind: EntryKind
    points: int
    score: int
    at: int
    version: int
    increment: int = 0
    id: str | None = None
    type: str | None = None
    frontend: str = ""
    by: str = ""
    reason: str = ""
    takes_back: tuple[str, ...] = ()
    hash: bytes = b""
    checkpoint: bytes = b""

    @property
    def exact_version(self) -> int:
        """The version of the write."""
        return exact_version(self.version, self.increment)


class PlayerBalance(msgspec.Struct, frozen=True):
    """The score and last write in a player's document. None: another program wrote an invalid score or write id.

    `write_id`: of the last write. `erased`: the last write was an erasure, and the delete has not followed.
    """

    player: str
    score: int | None
    write_id: str | None
    erased: bool = False


_encode = msgspec.json.Encoder().encode


def entry_hash(entry: Entry, prev: bytes) -> bytes:
    """SHA-256 of the entry without its hash, as a JSON array in UTF-8 without spaces.

    `prev`: the hash of the previous entry, empty for the first. It is in hexadecimal in the array.
    """
    e = entry
    return sha256(_encode((
        FORMAT, e.write_id, e.player, e.n, e.kind, e.points, e.score, e.at, e.version, e.id, e.type, e.frontend,
        e.by, e.reason,
        e.takes_back, prev.hex(),
    ))).digest()  # fmt: skip


def with_hash(entry: Entry, prev: bytes) -> Entry:
    """The entry, with its hash set. `prev`: the hash of the previous entry."""
    return msgspec.structs.replace(entry, hash=entry_hash(entry, prev))


class AcceptedAction(NamedTuple):
    """An accepted action: the id of its write, and its points."""

    write_id: str
    points: int
