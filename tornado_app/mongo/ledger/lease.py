"""A lease in MongoDB: of all processes one may do a piece of work, until it gives up, or stays silent for too long.

    leases: {_id: name, holder, until, term, …}

Time is the database's ($$NOW), so that the processes' clocks don't matter. `term` grows with each new holder. What the
work has to remember (the ledger's place in the change stream) is kept in the same document, and only
the holder can change it: one who was superseded without noticing can't put it back.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pymongo
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from tornado_app.mongo.client.driver import DURABLE
from tornado_app.mongo.players.documents import Document

LEASES = "leases"

TTL = 6.0
"""Seconds for which a holder may be silent; so long does it take until another goes on after a crash."""

CALL_TIMEOUT = 2.0
"""Seconds for one question to the database."""

_PAST = datetime.fromtimestamp(0, UTC)


class LeaseLost(Exception):
    """Another process holds the lease, or may."""


class Lease:
    """One process's claim to the lease `name`. `ttl` is in seconds; `holder` names the process, for people too.

    All methods raise PyMongoError where the database does not answer.
    """

    def __init__(self, database: Any, name: str, *, ttl: float = TTL, holder: str | None = None) -> None:
        self._leases = database.get_collection(LEASES, write_concern=DURABLE)
        self._name = name
        self._ttl = ttl
        self.holder = holder or f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
        self._term = 0
        self._good_until = 0.0
        self._seen_at: float | None = None

    @property
    def left(self) -> float:
        """Seconds for which the lease is ours by our own clock; 0 where it is not.

        Counted from before the question to the database, so never longer than the database counts.
        """
        return max(0.0, self._good_until - time.monotonic())

    @property
    def vacant_since(self) -> float | None:
        """Since when nobody is known to hold the lease, on the monotonic clock; None while somebody does."""
        if self._seen_at is None or time.monotonic() - self._seen_at < self._ttl:
            return None
        return self._seen_at

    @property
    def pause(self) -> float:
        """Seconds between two calls of `take`, by holder and by those who wait."""
        return self._ttl / 3

    async def take(self, values: Mapping[str, Any] | None = None) -> Document | None:
        """Take the lease, or hold it for longer: its document; None while another holds it.

        `values` is what the work has to remember, written only where the lease was ours before.
        """
        asked = time.monotonic()
        if self._seen_at is None:
            self._seen_at = asked
        document = await self._ask(self._claim(values or {}))
        self._seen_at = asked
        if document.get("holder") != self.holder:
            self._good_until = 0.0
            return None
        self._term = document["term"]
        self._good_until = asked + self._ttl
        return document

    async def keep(self, values: Mapping[str, Any]) -> None:
        """Write what the work has to remember. Raises LeaseLost where the lease is another's by now."""
        wanted = {"_id": self._name, "holder": self.holder, "term": self._term}
        with pymongo.timeout(CALL_TIMEOUT):
            found = await self._leases.update_one(wanted, {"$set": dict(values)})
        if found.matched_count == 0:
            self._good_until = 0.0
            raise LeaseLost

    async def release(self) -> None:
        """Let another take it at once."""
        self._good_until = 0.0
        wanted = {"_id": self._name, "holder": self.holder}
        with pymongo.timeout(CALL_TIMEOUT):
            await self._leases.update_one(wanted, {"$set": {"until": _PAST}})

    async def _ask(self, claim: list[Document]) -> Document:
        with pymongo.timeout(CALL_TIMEOUT):
            try:
                return await self._update(claim)
            except DuplicateKeyError:  # two made the document at once; it is there now
                return await self._update(claim)

    async def _update(self, claim: list[Document]) -> Document:
        found: Document = await self._leases.find_one_and_update(
            {"_id": self._name}, claim, upsert=True, return_document=ReturnDocument.AFTER
        )
        return found

    def _claim(self, values: Mapping[str, Any]) -> list[Document]:
        """An update that changes nothing while another holds the lease."""
        mine = {"$eq": ["$holder", {"$literal": self.holder}]}
        over = {"$lte": [{"$ifNull": ["$until", _PAST]}, "$$NOW"]}
        claim = {
            "holder": {"$literal": self.holder},
            "until": {"$add": ["$$NOW", round(self._ttl * 1000)]},
            "term": {"$add": [{"$ifNull": ["$term", 0]}, {"$cond": [mine, 0, 1]}]},
        }
        kept = {"$cond": [mine, {"$literal": dict(values)}, {}]}
        merged = {"$mergeObjects": ["$$ROOT", kept, claim]}
        return [{"$replaceWith": {"$cond": [{"$or": [mine, over]}, merged, "$$ROOT"]}}]
