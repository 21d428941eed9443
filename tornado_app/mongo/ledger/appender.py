"""Appends entries to the ledger, in order, while this process holds the lease.

If two processes write nevertheless, because one was stopped for longer than its lease, the index {player, n} accepts
only one of two entries with the same number, and the refused process stops. An erasure removes only entries that are
older than itself, so it may come late, or twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pymongo
from pymongo.errors import BulkWriteError, DocumentTooLarge
from pymongo.read_concern import ReadConcern

from tornado_app.core.ledger import ChainKey, Entry, EntryKind
from tornado_app.core.versions import excess_increment, to_board_version
from tornado_app.mongo.client.driver import DUPLICATE_KEY, DURABLE
from tornado_app.mongo.client.index_build import make_index
from tornado_app.mongo.ledger.entries import head_in
from tornado_app.mongo.ledger.lease import Lease, LeaseLost
from tornado_app.mongo.ledger.reader import LEDGER, TOLERANT, chain_id, document
from tornado_app.mongo.players.documents import Document

CHUNK = 500
"""Entries in one insert."""

INDEX = [("player", 1), ("n", 1)]

LOOKUP_TIMEOUT = 10.0


class Fenced(LeaseLost):
    """Another process writes the ledger."""


class DuplicateWriteId(Exception):
    """The entry's write_id is that of another write: the id is a copy."""

    def __init__(self, write_id: str, version: int) -> None:
        self.write_id = write_id
        self.version = version
        super().__init__(write_id)


class LedgerAppender:
    """Appends entries. `on_appended` is called with a kind and the number of its durable entries.

    All methods raise LeaseLost if this process does not hold the lease, and PyMongoError.
    """

    def __init__(
        self,
        database: Any,
        lease: Lease,
        *,
        collection: str = LEDGER,
        on_appended: Callable[[EntryKind, int], None] = lambda kind, count: None,
    ) -> None:
        self.entries = database.get_collection(
            collection, write_concern=DURABLE, read_concern=ReadConcern("majority"), codec_options=TOLERANT
        )
        self._lease = lease
        self._on_appended = on_appended

    async def prepare(self) -> None:
        """Create the index that numbers the entries."""
        await make_index(self.entries, INDEX, unique=True, name="chain")

    async def append(self, entries: Sequence[Entry]) -> None:
        """Store entries in order, each of them durably or not at all. Raises Fenced or DuplicateWriteId."""
        for start in range(0, len(entries), CHUNK):
            chunk = entries[start : start + CHUNK]
            try:
                await self._insert([document(entry) for entry in chunk])
            except BulkWriteError as error:
                await self._refused(error, chunk)
            for kind, count in Counter(entry.kind for entry in chunk).items():
                self._on_appended(kind, count)

    async def has(self, write_id: str) -> bool:
        """Whether there is an entry with this write_id."""
        with self._lease.while_held():
            return await self.entries.find_one({"_id": write_id}, {"_id": 1}) is not None

    async def erase(self, chain: ChainKey, version: int) -> None:
        """Remove the entries of a player's chain that are older than the erasure."""
        number, increment = to_board_version(version), excess_increment(version)
        older: Document = {"version": {"$lt": number}}
        if increment:
            older = {"$or": [older, {"version": number, "increment": {"$not": {"$gte": increment}}}]}
        with self._lease.while_held():
            await self.entries.delete_many({"player": chain_id(*chain), **older})

    async def _insert(self, documents: Sequence[Document]) -> None:
        """Insert in order, without a retry by the driver: what it keeps in the oplog for that is a quarter of an entry.

        The writer continues at its resume point after an error, and recognises existing entries.
        """
        command = {
            "insert": self.entries.name,
            "documents": documents,
            "ordered": True,
            "writeConcern": DURABLE.document,
        }
        with self._lease.while_held():
            try:
                reply = await self.entries.database.command(command)
            except DocumentTooLarge:  # another program wrote very long texts: the driver splits the command
                await self.entries.insert_many(documents, ordered=True)
                return
        if "writeErrors" in reply or "writeConcernError" in reply:
            concern = [reply["writeConcernError"]] if "writeConcernError" in reply else []
            raise BulkWriteError({"writeErrors": reply.get("writeErrors", []), "writeConcernErrors": concern})

    async def _refused(self, error: BulkWriteError, chunk: Sequence[Entry]) -> None:
        details: Mapping[str, Any] = error.details
        faults = details.get("writeErrors") or ()
        if details.get("writeConcernErrors") or not faults or faults[0]["code"] != DUPLICATE_KEY:
            raise error
        entry = chunk[faults[0]["index"]]
        with pymongo.timeout(LOOKUP_TIMEOUT):
            there: Document | None = await self.entries.find_one(
                {"_id": entry.write_id}, {"player": 1, "version": 1, "increment": 1}
            )
        version = entry.exact_version
        if there is not None and (there["player"], head_in(there).version) != (chain_id(*entry.chain), version):
            raise DuplicateWriteId(entry.write_id, version) from error
        raise Fenced from error
