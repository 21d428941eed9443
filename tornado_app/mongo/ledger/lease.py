"""A lease in MongoDB: one process at a time may do a task, until it releases the lease or is silent for too long.

leases: {_id: name, holder, until, term, …}

Time is the database's ($$NOW), so the clocks of the processes do not matter. `term` grows with each new holder. The
state of the task (the ledger's resume point in the change stream) is in the same document, and only the holder can
change it: a former holder cannot overwrite it.
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
"""Seconds for which a holder may be silent; after a crash, another process continues after this time."""

CALL_TIMEOUT = 2.0
"""Timeout of one database call, in seconds."""

_PAST = datetime.fromtimestamp(0, UTC)


class LeaseLost(Exception):
    """Another process holds the lease, or may."""


class Lease:
    """One process's claim to the lease `name`. `ttl` is in seconds; `holder` is a readable name of the process.

    All methods raise PyMongoError if the database does not answer.
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
        """Seconds for which this process holds the lease by its own clock; 0 if it does not.

        Counted from before the database call, so never longer than by the database.
        """
        return max(0.0, self._good_until - time.monotonic())

    @property
    def vacant_since(self) -> float | None:
        """The time on the monotonic clock since when the lease has no known holder; None while it has one."""
        if self._seen_at is None or time.monotonic() - self._seen_at < self._ttl:
            return None
        return self._seen_at

    @property
    def pause(self) -> float:
        """Seconds between two calls of `take`, by the holder and by waiting processes."""
        return self._ttl / 3

    def while_held(self) -> Any:
        """A context that bounds database calls to the time for which this process holds the lease. Raises LeaseLost."""
        left = self.left
        if left == 0:
            raise LeaseLost
        return pymongo.timeout(left)

    async def take(self, values: Mapping[str, Any] | None = None) -> Document | None:
        """Take or renew the lease: its document; None while another process holds it.

        `values`, the state of the task, is written only if this process held the lease before.
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
        """Write the state of the task. Raises LeaseLost if another process holds the lease."""
        wanted = {"_id": self._name, "holder": self.holder, "term": self._term}
        with pymongo.timeout(CALL_TIMEOUT):
            result = await self._leases.update_one(wanted, {"$set": dict(values)})
        if result.matched_count == 0:
            self._good_until = 0.0
            raise LeaseLost

    async def release(self) -> None:
        """End the lease, so that another process can take it at once."""
        self._good_until = 0.0
        wanted = {"_id": self._name, "holder": self.holder}
        with pymongo.timeout(CALL_TIMEOUT):
            await self._leases.update_one(wanted, {"$set": {"until": _PAST}})

    async def _ask(self, claim: list[Document]) -> Document:
        with pymongo.timeout(CALL_TIMEOUT):
            try:
                return await self._update(claim)
            except DuplicateKeyError:  # another process inserted the document at the same moment
                return await self._update(claim)

    async def _update(self, claim: list[Document]) -> Document:
        found: Document = await self._leases.find_one_and_update(
            {"_id": self._name}, claim, upsert=True, return_document=ReturnDocument.AFTER
        )
        return found

    def _claim(self, values: Mapping[str, Any]) -> list[Document]:
        """An update that changes nothing while another process holds the lease."""
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
