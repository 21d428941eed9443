"""`leaderboard audit`: proves that each score is the sum of its ledger and that each chain is complete."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TextIO

from tornado_app.config import Config, InvalidValue, parse_duration
from tornado_app.config.loading import add_some_settings, load_options
from tornado_app.core.errors import StartupError

SETTINGS = (
    "config", "data_dir", "mongodb_uri", "mongodb_uri_file", "mongodb_database", "mongodb_driver", "mongodb_timeout",
    "rate_limit",
)  # fmt: skip
"""The settings of the database, and the rate limit."""

RECHECK_SECONDS = 2.0
LEDGER_TIMEOUT = 20.0
PAGE = 1000
"""See `Auditor` and `LedgerScan`."""

_DAYS = re.compile(r"([0-9]{1,5})d")
_MOMENT = "give a duration before now, such as 24h or 90d, or a time with its zone, such as 2026-01-02T03:04:05Z"

EXAMPLES = """examples:
  leaderboard audit
      of the database in ./leaderboard-data, whether the service runs or not
  leaderboard audit --mongodb-uri-file /run/secrets/uri --since 24h
      changes that the service did not make are reported only if they are of the last day
  leaderboard audit --ledger ledger.jsonl
      the entries in a file of leaderboard export, for example of ones that were folded since
  leaderboard audit --json | jq 'select(.type == "difference")'

The exit code is 1 if there is a difference, 0 if there is none. An irregularity is not a difference."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `leaderboard audit` to `parser`."""
    since = "report external and reconciled points, and irregularities, only since then: 24h, 2026-01-02T03:04:05Z"
    parser.add_argument("--since", type=parse_moment, default=0, metavar="TIME", help=since)
    about = "check only the chains in FILE, a whole export of the ledger as JSON Lines; needs no database"
    parser.add_argument("--ledger", type=Path, metavar="FILE", help=about)
    add_boards(parser, "check")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line instead of sentences")
    add_some_settings(parser, SETTINGS)


def add_boards(parser: argparse.ArgumentParser, verb: str) -> None:
    """Add the flag that names boards."""
    about = f"{verb} only this board; may be given several times (default: all in the database)"
    parser.add_argument("--board", action="append", default=[], metavar="NAME", help=about)


def chosen_boards(found: Sequence[str], named: Sequence[str]) -> Sequence[str]:
    """The boards in the database that are named, or all. Raises StartupError for one that is not there."""
    for board in named:
        if board not in found:
            raise StartupError(f"the database has no board {board!r}: it has {', '.join(found)}")
    return [board for board in found if board in named] if named else found


def run(
    options: argparse.Namespace,
    *,
    out: TextIO | None = None,
    err: TextIO | None = None,
    recheck_seconds: float = RECHECK_SECONDS,
    ledger_timeout: float = LEDGER_TIMEOUT,
    page: int = PAGE,
) -> int:
    """Audit the ledger that the settings name; the exit code. Raises ConfigError and StartupError."""
    import asyncio

    if options.ledger is not None:
        return _audit_file(options, out or sys.stdout, err or sys.stderr)
    config = load_options(options, relevant=SETTINGS)
    waiting = {"recheck_seconds": recheck_seconds, "ledger_timeout": ledger_timeout}
    return asyncio.run(_audit(config, options, out or sys.stdout, err or sys.stderr, page=page, **waiting))


def _audit_file(options: argparse.Namespace, out: TextIO, err: TextIO) -> int:
    from tornado_app.audit.exported import audit_lines
    from tornado_app.audit.report import Progress, Report

    verdicts = "Every chain in the file is complete.", "The file is not what the ledger was."
    report = Report(out, Progress(err, 0, 0), lines_of_json=options.json, verdicts=verdicts)
    try:
        with options.ledger.open(encoding="utf-8") as lines:
            counts = audit_lines(lines, report.add, since=options.since)
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"{options.ledger} cannot be read: {error}") from error
    report.close(counts)
    return 1 if report.differences else 0


async def _audit(
    config: Config, options: argparse.Namespace, out: TextIO, err: TextIO, *, page: int, **waiting: float
) -> int:
    import asyncio

    from tornado_app.audit.auditor import Auditor
    from tornado_app.audit.report import Progress, Report
    from tornado_app.mongo import definitions
    from tornado_app.mongo.ledger.audit import open_ledger
    from tornado_app.mongo.periods.audit import ResultScan
    from tornado_app.runtime.tasks import cancel_and_wait

    async with open_ledger(
        config.read_mongodb_uri(),
        config.mongodb_database,
        data_dir=config.data_dir,
        driver=config.mongodb_driver,
        timeout=config.mongodb_timeout,
        page=page,
    ) as scan:
        boards = chosen_boards(await scan.boards(), options.board)
        progress = Progress(err, *await scan.sizes(boards))
        report = Report(out, progress, lines_of_json=options.json)
        auditor = Auditor(
            scan,
            ResultScan(scan.database),
            report.add,
            boards,
            lambda board: definitions.recorded(scan.database, board),
            limit=config.rate_limit,
            since=options.since,
            progress=progress,
            **waiting,
        )
        writing = asyncio.create_task(progress.keep_writing())
        try:
            counts = await auditor.run()
        finally:
            await cancel_and_wait(writing)
            progress.clear()
        report.close(counts)
    return 1 if report.differences else 0


def parse_moment(text: str) -> int:
    """Milliseconds since the epoch, for a time or for a duration before now. Raises ArgumentTypeError."""
    days = _DAYS.fullmatch(text)
    try:
        return round((time.time() - (int(days[1]) * 86400 if days else parse_duration(text))) * 1000)
    except InvalidValue:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(_MOMENT) from None
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(_MOMENT)
    return round(moment.timestamp() * 1000)
