"""Inserts players, with names, scores and times, into the MongoDB of a leaderboard that has not been started yet.

    python backfill.py players.csv --mongodb-uri-file FILE [--mongodb-database leaderboard]

The CSV has a header with `user_id`, `score`, `updated_at` (RFC 3339) and, if wanted, `username`. Every line is checked
before the first one is written. It may be run again after an interruption.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pymongo import MongoClient, ReplaceOne
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from tornado_app.core.identity import is_user_id, username
from tornado_app.core.model import MAX_SCORE

BATCH = 2000
"""Players per write."""

MOST_FAULTS = 20
"""Maximum number of wrong lines in the error."""

COLUMNS = {"user_id", "score", "updated_at"}

Document = dict[str, object]


def read(path: Path) -> Iterator[tuple[int, Document | str]]:
    """Each line's number, and its player's document or error."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        if not COLUMNS.issubset(rows.fieldnames or ()):
            raise SystemExit(f"{path}: the first line must name the columns {', '.join(sorted(COLUMNS))}")
        for row in rows:
            try:
                yield rows.line_num, document(row)
            except ValueError as error:
                yield rows.line_num, str(error)


def document(row: dict[str, str | None]) -> Document:
    """The player's document, as the service would have made it. Raises ValueError."""
    user_id, score, name = row["user_id"] or "", row["score"] or "", row.get("username") or ""
    if not is_user_id(user_id):
        raise ValueError(f"{user_id!r} is not a user id")
    if not score.removeprefix("-").isdecimal() or not -MAX_SCORE - 1 <= int(score) <= MAX_SCORE:
        raise ValueError(f"{score!r} is not a whole number of 64 bits")
    moment = datetime.fromisoformat(row["updated_at"] or "")
    if moment.tzinfo is None or not 1970 <= moment.astimezone(UTC).year < 9999:
        raise ValueError(f"{row['updated_at']!r} has no time zone, or is before 1970")
    found: Document = {"_id": user_id, "score": int(score), "updatedAt": moment, "createdAt": moment}
    if name:
        shown = username(name)
        if shown is None:
            raise ValueError(f"{name!r} is not a username")
        found["username"] = shown
    return found


def check(path: Path) -> int:
    """The number of players in the file. Exits if a line is wrong, or repeats a player."""
    faults, seen = 0, set()
    for number, found in read(path):
        if not isinstance(found, str) and found["_id"] in seen:
            found = f"{found['_id']!r} has a line already"
        if isinstance(found, str):
            faults += 1
            if faults <= MOST_FAULTS:
                print(f"{path}, line {number}: {found}", file=sys.stderr)
        else:
            seen.add(found["_id"])
    if faults:
        raise SystemExit(f"{faults} lines are wrong; nothing was written")
    return len(seen)


def write(path: Path, players: Collection[Document], total: int) -> None:
    """Insert the players, and show the progress."""
    done, began = 0, time.monotonic()
    documents = (found for _, found in read(path) if not isinstance(found, str))
    while batch := list(itertools.islice(documents, BATCH)):
        players.bulk_write([ReplaceOne({"_id": each["_id"]}, each, upsert=True) for each in batch], ordered=False)
        done += len(batch)
        if sys.stderr.isatty() or done == total:
            print(f"\r{done:,} of {total:,} players, {time.monotonic() - began:.0f} s", end="", file=sys.stderr)
    print(file=sys.stderr)


def main() -> None:
    """Read the command line, and report an error in one line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("file", type=Path)
    parser.add_argument("--mongodb-uri-file", type=Path, required=True)
    parser.add_argument("--mongodb-database", default="leaderboard")
    options = parser.parse_args()
    try:
        backfill(options)
    except OSError as error:
        raise SystemExit(f"{error.filename} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SystemExit(f"{options.file} is not text in UTF-8; save it as such") from None
    except PyMongoError as error:
        raise SystemExit(f"MongoDB failed: {error}; run the same command again when it is repaired") from None


def backfill(options: argparse.Namespace) -> None:
    """Check the file, check that the ledger has not begun, and write."""
    total = check(options.file)
    with MongoClient[Document](options.mongodb_uri_file.read_text().strip(), w="majority", journal=True) as client:
        database = client[options.mongodb_database]
        if (database["leases"].find_one({"_id": "ledger"}) or {}).get("initialised"):
            raise SystemExit(
                "the service has run on this database: points go through its API, or the audit reports them"
            )
        write(options.file, database["players"], total)


if __name__ == "__main__":
    main()
