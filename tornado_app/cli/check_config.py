"""`leaderboard check-config`: the effective settings, and the source of each value."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable

from tornado_app.config import Effective, warnings
from tornado_app.config.loading import load_options

EXAMPLES = """examples:
  leaderboard check-config --config leaderboard.yaml --changed
      only what is not at its default
  leaderboard check-config --json | jq -r '.settings.port.value'

Secrets are masked. With --json, a value is as in the settings file. Warnings are in the member `warnings` of the JSON
object, and otherwise on standard error, as errors always are.

exit codes: 0 if all settings are valid, 2 if one is not"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `leaderboard check-config` that are not settings."""
    parser.add_argument("--changed", action="store_true", help="only settings whose value is not the default")
    parser.add_argument("--json", action="store_true", help="print a JSON object: value, default and source by setting")


def run(options: argparse.Namespace) -> int:
    """Print the settings; the exit code. Raises ConfigError."""
    config = load_options(options)
    rows = [row for row in config.describe() if row.changed or not options.changed]
    advice = list(warnings(config))
    if options.json:
        sys.stdout.write(_json(rows, advice))
    else:
        sys.stdout.writelines(_table(rows))
        if not rows:
            sys.stderr.write("every setting has its default\n")
        sys.stderr.writelines(f"warning: {sentence}\n" for sentence in advice)
    sys.stdout.flush()
    return 0


def _table(rows: list[Effective]) -> Iterable[str]:
    name = max((len(row.name) for row in rows), default=0)
    text = max((len(row.text) for row in rows), default=0)
    return (f"{row.name:{name}}  {row.text:{text}}  {row.source}\n" for row in rows)


def _json(rows: list[Effective], advice: list[str]) -> str:
    settings = {row.name: {"value": row.value, "default": row.default, "source": row.source} for row in rows}
    return json.dumps({"settings": settings, "warnings": advice}, indent=2, ensure_ascii=False) + "\n"
