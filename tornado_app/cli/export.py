"""`leaderboard export`: writes the entries of the ledger, or the results of periods, as JSON Lines or CSV."""

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

from tornado_app.audit import add_boards, chosen_boards, parse_moment
from tornado_app.config import Config
from tornado_app.config.loading import add_some_settings, load_options
from tornado_app.core.errors import StartupError

if TYPE_CHECKING:  # loaded when the command runs
    from tornado_app.audit.selection import Selection
    from tornado_app.core.ledger import Entry

SETTINGS = (
    "config", "data_dir", "mongodb_uri", "mongodb_uri_file", "mongodb_database", "mongodb_driver", "mongodb_timeout",
)  # fmt: skip
"""The settings of the database."""

OBJECTS = ("ledger", "results")
FORMATS = ("jsonl", "csv")

EXAMPLES = """examples:
  leaderboard export ledger --output ledger.jsonl
      of the database in ./leaderboard-data, whether the service runs or not
  leaderboard export ledger --mongodb-uri-file /run/secrets/uri --before 60d --output old.jsonl && gzip old.jsonl
      at least every 29 days: what a ledger_retention of 90d will fold
  leaderboard export ledger --player alice --format csv
      one player
  leaderboard export results --since 30d --format csv --output results.csv
      the results of all periods that became final in the last 30 days; leaderboard period results writes a single one

The entries are sorted by board (main first), player (the bytes of the user id) and number; docs/ledger.md explains the
members. The file is complete or unchanged. In a pipe, an export that fails looks complete unless the shell has set -o
pipefail. The last line on standard error has the counts, which leaderboard audit --ledger FILE prints too. The exit
code is 1 if an entry is malformed, which is left out: run leaderboard audit.

Results are sorted by board, period and epoch; docs/periods.md explains the members. The exit code is 1 if the rows of
an epoch do not have the recorded digest."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `leaderboard export` to `parser`."""
    parser.add_argument("object", choices=OBJECTS, metavar="OBJECT", help="what to export: ledger or results")
    parser.add_argument("--format", choices=FORMATS, default="jsonl", help="format (default: jsonl)")
    about = "file to write or replace (default: standard output)"
    parser.add_argument("--output", type=Path, metavar="FILE", help=about)
    parser.add_argument("--player", metavar="ID", help="export only what is of this player")
    add_boards(parser, "export")
    about = "export only entries made, or results sealed, {} then: 60d, 24h, 2026-01-02T03:04:05Z"
    parser.add_argument("--since", type=parse_moment, default=0, metavar="TIME", help=about.format("since"))
    parser.add_argument("--before", type=parse_moment, default=sys.maxsize, metavar="TIME", help=about.format("before"))
    add_some_settings(parser, SETTINGS)


def run(options: argparse.Namespace, *, out: IO[str] | None = None, err: TextIO | None = None) -> int:
    """Export what the settings name; the exit code. Raises ConfigError and StartupError."""
    import asyncio

    from tornado_app.audit.report import counted

    config = load_options(options, relevant=SETTINGS)
    err = err or sys.stderr
    with opened(options.output, out or sys.stdout) as file:
        if options.object == "results":
            return asyncio.run(_export_results(config, options, file, err))
        done = asyncio.run(_export(config, options, file, err))
        if done.torn:
            raise StartupError(
                f"entries of {done.torn:,} players were folded before they were read: export again; if this continues, "
                "run leaderboard audit"
            )
    if done.folded:
        err.write(f"note: {done.folded:,} entries had been folded before this export and are not in it\n")
    if done.malformed:
        err.write(f"error: {done.malformed:,} malformed entries were left out: run leaderboard audit\n")
    err.write(f"exported: {', '.join(counted(done.written))}\n")
    return 1 if done.malformed else 0


async def _export_results(config: Config, options: argparse.Namespace, out: IO[str], err: TextIO) -> int:
    """Write the rows of all results that are chosen; the exit code."""
    from tornado_app.audit.report import count_of
    from tornado_app.cli.results import ResultWriter, open_plan

    database = config.mongodb_database
    async with open_plan(config) as (client, _, plan, _):
        boards = chosen_boards(list(dict.fromkeys(view.board for view in plan)), options.board)
        chosen = [
            (view, epoch)
            for view, epochs in plan.items()
            for epoch in epochs
            if view.board in boards
            and epoch.sealed_at is not None
            and options.since <= epoch.sealed_at < options.before
        ]
        writer = ResultWriter(options.format, out, named=True, player=options.player)
        valid = [await writer.write(client, database, view, epoch, err) for view, epoch in chosen]
    err.write(f"exported: {count_of(writer.written, 'row')} of {count_of(len(chosen), 'result')}\n")
    return 0 if all(valid) else 1


async def _export(config: Config, options: argparse.Namespace, out: IO[str], err: TextIO) -> Selection:
    """Write the entries."""
    import asyncio

    from tornado_app.audit.report import Progress
    from tornado_app.audit.selection import Selection
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
        boards = chosen_boards(await scan.boards(), options.board)
        progress = Progress(err, *await scan.sizes(boards))
        drawing = None if out.isatty() else asyncio.create_task(progress.keep_writing())
        selection = Selection(options.since, options.before)
        try:
            for board in boards:
                everything = (scan.lines_of(board, ERASURES), scan.lines(board, ERASURES, None))
                for lines in everything if options.player is None else (scan.lines_of(board, options.player),):
                    async for player, _, entry in lines:
                        selected = selection.add((board, player), entry)
                        if selected is not None:
                            write(selected)
                        progress(selection.read)
        finally:
            if drawing is not None:
                await cancel_and_wait(drawing)
                progress.clear()
    return selection


def _writer(format_: str, out: IO[str]) -> Callable[[Entry], None]:
    """Writes one entry in a format."""
    from tornado_app.mongo.ledger.reader import PLAIN, plain

    if format_ == "jsonl":
        return lambda entry: _line(out, plain(entry))
    table = csv.writer(out, lineterminator="\n")
    table.writerow(PLAIN)
    return lambda entry: _row(table, plain(entry))


def _line(out: IO[str], members: dict[str, Any]) -> None:
    out.write(f"{json.dumps(members, separators=(',', ':'))}\n")


def _row(table: Any, members: dict[str, Any]) -> None:
    epochs = " ".join([f"{period}={epoch}" for period, epoch in members["epochs"].items()])
    table.writerow((members | {"takes_back": " ".join(members["takes_back"]), "epochs": epochs}).values())


@contextlib.contextmanager
def opened(path: Path | None, out: IO[str]) -> Iterator[IO[str]]:
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
