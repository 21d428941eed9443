"""A MongoDB for each measured system, and players with a history."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bson import Timestamp
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from bench.processes import START_SECONDS, Failed, Program, until
from tornado_app.config import Config
from tornado_app.core.errors import StartupError
from tornado_app.core.history import HistoryEntry, WriteKind, encode
from tornado_app.mongo.embedded.mongod import find_binary, free_port
from tornado_app.mongo.players.documents import BOARD_ORDER
from tornado_app.mongo.players.indexes import BOARD_INDEX

REPLICA_SET = "bench"
DATABASE = "leaderboard"
CACHE_GB = "0.5"
LOADED_AT_ONCE = 5000
SELECTION_MS = 5000
PREFIX = "player-"

IDLE_ENTRIES = 6
"""A document of about 0.9 kB."""

LONG_AGO = 1_700_000_000_000
"""Milliseconds since the epoch."""

NEVER = 2**31 - 1
"""Seconds for which the entries of the loaded players are remembered."""

POLICY = Config().write_policy
"""The rules of the default settings, with which the service runs."""


class Database:
    """A one-member replica set with a journal; a context manager. `uri` is for its clients."""

    def __init__(self, folder: Path, cores: frozenset[int]) -> None:
        folder.mkdir(parents=True)
        port = free_port()
        self.uri = f"mongodb://127.0.0.1:{port}/?replicaSet={REPLICA_SET}"
        self._direct = f"mongodb://127.0.0.1:{port}/?directConnection=true"
        try:
            binary = find_binary()
        except StartupError as error:
            raise Failed(str(error)) from None
        command = [str(binary), "--replSet", REPLICA_SET, "--dbpath", str(folder), "--bind_ip", "127.0.0.1"]
        command += ["--port", str(port), "--nounixsocket", "--wiredTigerCacheSizeGB", CACHE_GB, "--oplogSize", "512"]
        command += ["--setParameter", "diagnosticDataCollectionEnabled=false", "--quiet"]
        self._program = Program(command, folder / "mongod.log", cores)

    def __enter__(self) -> Database:
        self._program.__enter__()
        try:
            with self._client_of(self._direct) as client:
                self._initiate(client)
        except BaseException:
            self._program.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._program.__exit__()

    @property
    def pid(self) -> int:
        """The process id of mongod."""
        return self._program.pid

    def client(self) -> MongoClient[dict[str, Any]]:
        """The process; its starter must close it."""
        return self._client_of(self.uri)

    @staticmethod
    def _client_of(uri: str) -> MongoClient[dict[str, Any]]:
        return MongoClient(uri, serverSelectionTimeoutMS=SELECTION_MS)

    def _initiate(self, client: MongoClient[dict[str, Any]]) -> None:
        member = {"_id": 0, "host": self._direct.split("/")[2]}
        for _ in until(START_SECONDS, "mongod answers"):
            try:
                client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
                break
            except PyMongoError:
                continue
        for _ in until(START_SECONDS, "mongod is primary"):
            if client.admin.command("hello")["isWritablePrimary"]:
                return

    def now(self) -> Timestamp:
        """The time of the newest entry of the oplog."""
        with self.client() as client:
            newest: Timestamp = next(client["local"]["oplog.rs"].find().sort("$natural", -1).limit(1))["ts"]
        return newest

    def oplog_entry_sizes(self, since: Timestamp) -> dict[str, float]:
        """Mean bytes of the oplog's inserts and updates since then, by collection."""
        pipeline: list[dict[str, Any]] = [
            {"$match": {"ts": {"$gt": since}, "op": {"$in": ["i", "u"]}, "ns": {"$regex": f"^{DATABASE}\\."}}},
            {"$group": {"_id": "$ns", "mean": {"$avg": {"$bsonSize": "$$ROOT"}}}},
        ]
        with self.client() as client:
            return {
                row["_id"].partition(".")[2]: row["mean"] for row in client["local"]["oplog.rs"].aggregate(pipeline)
            }

    def load(self, documents: Iterator[dict[str, Any]], collection: str = "players") -> None:
        """Insert all players, with the board's index."""
        with self.client() as client:
            players = client[DATABASE][collection]
            players.create_index(BOARD_ORDER, name=BOARD_INDEX)
            page: list[dict[str, Any]] = []
            for document in documents:
                page.append(document)
                if len(page) == LOADED_AT_ONCE:
                    players.insert_many(page, ordered=False)
                    page = []
            if page:
                players.insert_many(page, ordered=False)


def player(number: int) -> str:
    """The id of player `number`."""
    return f"{PREFIX}{number}"


def seasoned(
    players: int, *, name: str = "Player {}", idle: int = 0, periods: Collection[str] = ()
) -> Iterator[dict[str, Any]]:
    """Players as the service keeps them, player k with k points and a full history of long ago.

    A document as large as those of players who play all day: each write pays for its size. No entry expires but one,
    as in the long run each write adds an entry and removes one. `idle` more players have a short history, and a score
    in the first epoch of `periods`.
    """
    moment = datetime.fromtimestamp(LONG_AGO / 1000, UTC)
    full = POLICY.limit.idempotency_history_size(60)
    for number in range(players + idle):
        entries = full if number < players else IDLE_ENTRIES
        user_id = player(number)
        history = {"1": encode(HistoryEntry(WriteKind.REINSTATE, 0, f"bench.{number:x}", LONG_AGO, by="bench"))}
        for seq in range(2, entries + 1):
            history[str(seq)] = encode(
                HistoryEntry(
                    WriteKind.ACTION, 0, f"bench.{number:x}.{seq}", LONG_AGO, NEVER, user_id, f"action-{seq}", bytes(8),
                    frontend="A",
                )
            )  # fmt: skip
        yield {
            "_id": user_id, "username": name.format(number), "score": number, "updatedAt": moment, "createdAt": moment,
            "seq": entries, "h": history,
            **({"w": {period: {"e": 1, "s": number, "t": moment} for period in periods}} if number >= players else {}),
        }  # fmt: skip


def plain(players: int) -> Iterator[dict[str, Any]]:
    """The same players as a service without guarantees stores them."""
    moment = datetime.now(UTC)
    for number in range(players):
        yield {"_id": player(number), "username": f"Player {number}", "score": number, "updatedAt": moment}
