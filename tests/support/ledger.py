"""An independent check of the ledger, by the recipe of docs/ledger.md."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from pymongo.database import Database

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def recomputed(e: dict[str, Any], prev: bytes) -> bytes:
    """The hash that a stored entry must have; `prev` is that of the entry before."""
    at = e["at"] if e["at"].tzinfo else e["at"].replace(tzinfo=UTC)
    ms = round((at - EPOCH).total_seconds() * 1000)
    board, player = board_and_player(e["player"])
    format_, last = (2, [e["submitted"]]) if "submitted" in e else (1, [])
    if board != "main":
        format_, last = 3, [e.get("submitted"), board]
    if e.get("epochs"):
        format_, last = 4, [e.get("submitted"), board, sorted(e["epochs"].items())]
    fields = [
        format_, e["_id"], player, e["n"], e["kind"], e["points"], e["score"], ms, e["version"],
        e.get("id"), e.get("type"), e.get("frontend", ""), e.get("by", ""), e.get("reason", ""),
        e.get("takes_back", []), prev.hex(), *last,
    ]  # fmt: skip
    return sha256(json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()).digest()


def board_and_player(member: Any) -> tuple[str, Any]:
    """What the member `player` of a stored entry stands for."""
    return (member["board"], member["id"]) if isinstance(member, dict) else ("main", member)


def chains(database: Database, ledger: str = "ledger", board: str = "main") -> dict[str, list[dict[str, Any]]]:
    """All entries of a board by player, in their order."""
    found = defaultdict(list)
    for entry in database[ledger].find().sort([("player", 1), ("n", 1)]):
        on, player = board_and_player(entry.get("player"))
        if on == board:
            found[player].append(entry)
    return dict(found)


def problems(database: Database, board: str = "main") -> list[str]:
    """Faults of a board's ledger, and between it and the players; empty if there are none."""
    found, all_chains = [], chains(database, board=board)
    for player, entries in all_chains.items():
        n, total, prev = 0, 0, b""
        start = max((at for at, entry in enumerate(entries) if "checkpoint" in entry), default=0)
        if "checkpoint" in entries[start]:  # what is left before it was being removed
            first = entries[start]
            n, total, prev = first["n"] - 1, first["score"] - first["points"], first["checkpoint"]
        for entry in entries[start:]:
            n, total = n + 1, total + entry["points"]
            expected = (n, total, recomputed(entry, prev))
            prev = entry["hash"]
            if (entry["n"], entry["score"], entry["hash"]) != expected:
                found.append(f"{player}: entry {entry} is not {expected}")
    for document in database["players" if board == "main" else f"players.{board}"].find():
        entries = all_chains.pop(document["_id"], [])
        total = entries[-1]["score"] if entries else 0
        if total != document["score"]:
            found.append(f"{document['_id']}: {document['score']} points, {total} in the ledger")
        last = document["h"][str(document["seq"])]
        if json.loads(last)[2] not in {entry["_id"] for entry in entries}:
            found.append(f"{document['_id']}: the last write is not in the ledger")
    all_chains.pop("", None)
    return found + [
        f"{player}: there is no such player" for player, entries in all_chains.items() if entries[-1]["score"]
    ]


def begin_erasure(database: Database, player: str, board: str = "main") -> None:
    """The first step of an erasure, as by a process that ended then."""
    players = database["players" if board == "main" else f"players.{board}"]
    document = players.find_one({"_id": player})
    seq = document["seq"] + 1
    entry = json.dumps(["e", document["score"], "e.1", 1_800_000_000_000, 0, "mod", None, "", None, "", True, "asked"])
    begun = {"hidden": True, "suspended": True, "erased": True, "seq": seq, f"h.{seq}": entry}
    players.update_one({"_id": player}, {"$set": begun})


def kinds(database: Database, player: str, board: str = "main") -> list[tuple[str, int]]:
    """Kind and points of a player's entries, in their order."""
    return [(entry["kind"], entry["points"]) for entry in chains(database, board=board).get(player, [])]
