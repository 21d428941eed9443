"""`leaderboard check-config`: the effective settings, the source of each value, and the boards."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from tornado_app.config import Effective, warnings
from tornado_app.config.loading import load_options
from tornado_app.config.value_types import format_duration
from tornado_app.core.boards import Board
from tornado_app.core.periods import Cron, Every, Period

EXAMPLES = """examples:
  leaderboard check-config --config leaderboard.yaml --changed
      only what is not at its default
  leaderboard check-config --json | jq -r '.settings.port.value'

The boards of boards_file follow the settings. Secrets are masked. With --json, settings and boards are as in their
files. Warnings are in the member `warnings` of the JSON object, and otherwise on standard error, as errors always are.

exit codes: 0 if all settings are valid, 2 if one is not"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `leaderboard check-config` that are not settings."""
    parser.add_argument("--changed", action="store_true", help="only settings whose value is not the default")
    parser.add_argument(
        "--json", action="store_true", help="print a JSON object: value, default and source by setting, and the boards"
    )


def run(options: argparse.Namespace) -> int:
    """Print the settings; the exit code. Raises ConfigError."""
    config = load_options(options)
    rows = [row for row in config.describe() if row.changed or not options.changed]
    advice = list(warnings(config))
    if options.json:
        sys.stdout.write(_json(rows, config.boards, advice))
    else:
        boards = config.boards if config.boards_file is not None else ()
        settings = [(row.name, row.text, row.source) for row in rows]
        sys.stdout.writelines(_table(settings + [_row(board) for board in boards]))
        if not rows:
            sys.stderr.write("every setting has its default\n")
        sys.stderr.writelines(f"warning: {sentence}\n" for sentence in advice)
    sys.stdout.flush()
    return 0


def _row(board: Board) -> tuple[str, str, str]:
    bounds = [f"bounds {board.bounds}"] if board.bounds else []
    periods = [f"periods {', '.join(period.name for period in board.periods)}"] if board.periods else []
    shows = [f"shows {board.shows}"] if board.shows else []
    return f"board {board.name}", f"{board.rule}, {board.order}", "; ".join(bounds + periods + shows)


def _table(rows: list[tuple[str, str, str]]) -> Iterable[str]:
    name = max((len(row[0]) for row in rows), default=0)
    text = max((len(row[1]) for row in rows), default=0)
    return (f"{row[0]:{name}}  {row[1]:{text}}  {row[2]}".rstrip() + "\n" for row in rows)


def _json(rows: list[Effective], boards: Sequence[Board], advice: list[str]) -> str:
    document: dict[str, Any] = {
        "settings": {row.name: {"value": row.value, "default": row.default, "source": row.source} for row in rows},
        "boards": {board.name: _members(board) for board in boards},
        "warnings": advice,
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _members(board: Board) -> dict[str, Any]:
    """A board as in the file of boards."""
    bounds = {} if board.bounds is None else {"bounds": msgspec.to_builtins(board.bounds)}
    periods = {"periods": {period.name: _period(period) for period in board.periods}} if board.periods else {}
    shows = {} if board.shows is None else {"shows": board.shows}
    return {"rule": board.rule, "order": board.order, **bounds, **periods, **shows}


def _period(period: Period) -> dict[str, Any]:
    schedule: dict[str, str] = {}
    match period.schedule:
        case Cron(fields, zone):
            schedule = {"cron": fields, "timeZone": zone}
        case Every(interval, start, zone):
            schedule = {"every": interval, "from": start.isoformat(timespec="minutes"), "timeZone": zone}
    return {**schedule, "keep": period.keep, "review": format_duration(period.review)}
