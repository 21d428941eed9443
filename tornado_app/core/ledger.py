"""The ledger's entries and their chains: each entry is numbered within its player's chain on a board, and contains the
previous hash.

So an entry that is changed, removed or inserted invalidates every later one. The hash has no key: a complete rewrite of
a chain by a writer of the database is not detected. Old entries may be folded into the oldest kept one, the checkpoint:
its hash covers their number, their sum and the hash of the last of them. Source: docs/ledger.md.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from hashlib import sha256
from typing import Any, NamedTuple, TypeAlias

import msgspec

from tornado_app.core.boards import MAIN, Board, Rule
from tornado_app.core.slots import EpochKey
from tornado_app.core.versions import exact_version

FORMAT, SUBMITTED_FORMAT, BOARD_FORMAT, EPOCHS_FORMAT = 1, 2, 3, 4
"""The first member of the hashed array; another encoding gets another number. The second has `submitted` at its end,
the third `submitted` and the board, which is not `main`, the fourth these two and the epochs."""

ERASURES = ""
"""A board's chain of erasures, without a player; it is not a user id, which has at least one character."""

ChainKey: TypeAlias = tuple[str, str]
"""The board and the player of a chain."""


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
    """One entry of the ledger: the `n`th of its player on its board, from 1.

    `write_id`: the id of the write, unique. `points`: added to the score; `score`: the sum so far. `at`:
    milliseconds since the epoch, by the clock of the writing process; `version`: the board version of the database's
    cluster time; `increment`: its increment if `version` does not contain it, which the hash does not cover. `by`: the
    caller. `id`, `type`, `frontend`: of an action. `reason`: of a moderation; of a profile change, the changed members.
    `takes_back`: the actions that a take-back takes back. `submitted`: the submitted score, on a board of the rule best
    or last. `epochs`: of an action, the period and the number of each epoch that it counts in, by period. `hash`: 32
    bytes. `checkpoint`: the hash of entry n - 1, if the n - 1 older entries, of score - points points in all, were
    folded into this one; else empty.
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
    submitted: int | None = None
    hash: bytes = b""
    checkpoint: bytes = b""
    board: str = MAIN.name
    epochs: tuple[EpochKey, ...] = ()

    @property
    def chain(self) -> ChainKey:
        """The chain that the entry belongs to."""
        return self.board, self.player

    @property
    def exact_version(self) -> int:
        """The version of the write."""
        return exact_version(self.version, self.increment)


class PlayerBalance(msgspec.Struct, frozen=True):
    """The score and last write in a player's document. None: another program wrote an invalid score or write id.

    `write_id`: of the last write. `erased`: the last write was an erasure, and the delete has not followed. `hidden`:
    the player is on no board.
    """

    player: str
    score: int | None
    write_id: str | None
    erased: bool = False
    hidden: bool = False


_encode = msgspec.json.Encoder().encode


def entry_hash(entry: Entry, prev: bytes) -> bytes:
    """SHA-256 of the entry without its hash, as a JSON array in UTF-8 without spaces.

    `prev`: the hash of the previous entry, empty for the first. It is in hexadecimal in the array.
    """
    e = entry
    format_: int = FORMAT
    last: tuple[Any, ...] = ()
    if e.epochs:
        format_, last = EPOCHS_FORMAT, (e.submitted, e.board, e.epochs)
    elif e.board != MAIN.name:
        format_, last = BOARD_FORMAT, (e.submitted, e.board)
    elif e.submitted is not None:
        format_, last = SUBMITTED_FORMAT, (e.submitted,)
    return sha256(_encode((
        format_,
        e.write_id, e.player, e.n, e.kind, e.points, e.score, e.at, e.version, e.id, e.type, e.frontend,
        e.by, e.reason,
        e.takes_back, prev.hex(), *last,
    ))).digest()  # fmt: skip


def with_hash(entry: Entry, prev: bytes) -> Entry:
    """The entry, with its hash set. `prev`: the hash of the previous entry."""
    return msgspec.structs.replace(entry, hash=entry_hash(entry, prev))


class Recount:
    """The score of a player on a board of the rule best or last, and when it was reached, from the ledger's entries.

    `epoch`: the score in this epoch; None: of all time.

    The entries are added newest first. `without`: the write ids of actions that do not count; those that an entry takes
    back do not count either. `score` None: the player has none. An entry for unknown writes stands for its score, and a
    checkpoint for the score of what was folded into it, at its own time; not so in an epoch, as they name none.
    `removed`: the scores that the actions of `without` submitted, by write id.
    """

    def __init__(self, board: Board, without: Collection[str], epoch: EpochKey | None = None) -> None:
        self.score: int | None = None
        self.at = 0
        self.removed: dict[str, int] = {}
        self._board = board
        self._epoch = epoch
        self._without = frozenset(without)
        self._gone = set(without)
        self._complete = False

    def add(self, entry: Entry) -> None:
        """Add the next older entry."""
        self._gone.update(entry.takes_back)
        if self._epoch is not None and self._epoch not in entry.epochs:
            return
        if entry.submitted is not None and entry.write_id in self._without:
            self.removed[entry.write_id] = entry.submitted
        if self._complete:
            return
        if entry.kind is EntryKind.ACTION and entry.submitted is not None and entry.write_id not in self._gone:
            self._add(entry.submitted, entry.at)
        elif entry.kind in _UNKNOWN_WRITES and entry.points:
            self._end(entry.score, entry.at)
        if entry.checkpoint and not self._complete and self._epoch is None:
            self._end(entry.score - entry.points, entry.at)

    def _end(self, score: int, at: int) -> None:
        """A score of unknown writes, older than all entries that were added. 0 stands for none, too."""
        if score:
            self._add(score, at)
        self._complete = True

    def _add(self, value: int, at: int) -> None:
        """An older value; among equal ones the oldest has the time."""
        if self.score is None or value == self.score:
            self.score, self.at = value, at
        elif self._board.rule is Rule.LAST:
            self._complete = True
        elif self._board.order.better(value, self.score):
            self.score, self.at = value, at


_UNKNOWN_WRITES = frozenset({EntryKind.OPENING, EntryKind.RECONCILED, EntryKind.EXTERNAL})


class AcceptedAction(NamedTuple):
    """An accepted action: the id of its write, its points, and the epochs that it counts in."""

    write_id: str
    points: int
    epochs: tuple[EpochKey, ...] = ()
