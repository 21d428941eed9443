"""`leaderboard export ledger`: writes the entries of the ledger as JSON Lines or CSV, each player's in their order."""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TextIO

from tornado_app.audit import parse_moment
from tornado_app.config import Config
from tornado_app.config.loading import add_some_settings, load_options
from tornado_app.core.errors import StartupError

if TYPE_CHECKING:  # loaded when the command runs
    from tornado_app.core.ledger import Entry

SETTINGS = (
    "config", "data_dir", "mongodb_uri", "mongodb_uri_file", "mongodb_database", "mongodb_driver", "mongodb_timeout",
)  # fmt: skip
"""The settings of the database."""

OBJECTS = ("ledger",)
FORMATS = ("jsonl", "csv")

EXAMPLES = """examples:
  leaderboard export ledger --output ledger.jsonl
      of the database in ./leaderboard-data, whether the service runs or not
  leaderboard export ledger --mongodb-uri-file /run/secrets/uri --before 90d | gzip > ledger.jsonl.gz
      what a ledger_retention of 90d folds
  leaderboard export ledger --player alice --format csv
      one player

The entries are sorted by player (the bytes of the user id) and number; docs/ledger.md explains the members. The file
is complete or unchanged. The exit code is 1 if an entry is malformed, which is left out: run leaderboard audit."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `leaderboard export` to `parser`."""
    parser.add_argument("object", choices=OBJECTS, metavar="OBJECT", help="what to export: ledger")
    parser.add_argument("--format", choices=FORMATS, default="jsonl", help="format of the entries (default: jsonl)")
    about = "file to write or replace (default: standard output)"
    parser.add_argument("--output", type=Path, metavar="FILE", help=about)
    parser.add_argument("--player", metavar="ID", help="export only this player's entries")
    about = "export only entries {} then: 90d, 24h, 2026-01-02T03:04:05Z; all are read"
    parser.add_argument("--since", type=parse_moment, default=0, metavar="TIME", help=about.format("since"))
    parser.add_argument("--before", type=parse_moment, default=sys.maxsize, metavar="TIME", help=about.format("before"))
    add_some_settings(parser, SETTINGS)


def run(options: argparse.Namespace, *, out: IO[str] | None = None, err: TextIO | None = None) -> int:
    """Export what the settings name; the exit code. Raises ConfigError and StartupError."""
    import asyncio

    config = load_options(options, relevant=SETTINGS)
    with _opened(options.output, out or sys.stdout) as file:
        malformed = asyncio.run(_export(config, options, file, err or sys.stderr))
    if malformed:
        (err or sys.stderr).write(f"error: {malformed:,} malformed entries were left out: run leaderboard audit\n")
    return 1 if malformed else 0


async def _export(config: Config, options: argparse.Namespace, out: IO[str], err: TextIO) -> int:
    """Write the entries; the number of malformed ones."""
    import asyncio

    from tornado_app.audit.auditor import Counts
    from tornado_app.audit.report import Progress
    from tornado_app.core.ledger import ERASURES
    from tornado_app.mongo.ledger.audit import open_ledger
    from tornado_app.runtime.tasks import cancel_and_wait

    write = _writer(options.format, out)
    async with open_ledger(
        config.read_mongodb_uri(),
        config.mongodb_database,
        data_dir=config.data_dir,
        driver=config.mongodb_driver,
        timeout=config.mongodb_timeout,
    ) as scan:
        progress = Progress(err, *await scan.sizes())
        drawing = None if out.isatty() else asyncio.create_task(progress.keep_writing())
        counts, malformed, last = Counts(), 0, None
        try:
            everything = (scan.lines_of(ERASURES), scan.lines(ERASURES, None))
            for lines in everything if options.player is None else (scan.lines_of(options.player),):
                async for player, _, entry in lines:
                    counts.entries += 1
                    counts.players += player != last
                    last = player
                    progress(counts)
                    if entry is None:
                        malformed += 1
                    elif options.since <= entry.at < options.before:
                        write(entry)
        finally:
            if drawing is not None:
                await cancel_and_wait(drawing)
                progress.clear()
    return malformed


def _writer(format_: str, out: IO[str]) -> Callable[[Entry], None]:
    """Writes one entry in a format."""
    from tornado_app.core.ledger import Entry
    from tornado_app.mongo.ledger.reader import plain

    if format_ == "jsonl":
        return lambda entry: _line(out, plain(entry))
    table = csv.writer(out, lineterminator="\n")
    table.writerow(Entry.__struct_fields__)
    return lambda entry: _row(table, plain(entry))


def _line(out: IO[str], members: dict[str, Any]) -> None:
    out.write(f"{json.dumps(members, separators=(',', ':'))}\n")


def _row(table: Any, members: dict[str, Any]) -> None:
    table.writerow((members | {"takes_back": " ".join(members["takes_back"])}).values())


@contextlib.contextmanager
def _opened(path: Path | None, out: IO[str]) -> Iterator[IO[str]]:
    """The file to write, which replaces `path` only if all went well; without `path`, `out`. Raises StartupError."""
    if path is None:
        yield out
        out.flush()
        return
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=f".{path.name}.", encoding="utf-8", newline="", delete=False
        ) as draft:
            try:
                yield draft.file
                draft.flush()
                os.fsync(draft.fileno())
                Path(draft.name).replace(path)
            except BaseException:
                Path(draft.name).unlink()
                raise
    except OSError as error:
        raise StartupError(f"{path} cannot be written: {error.strerror}") from error
