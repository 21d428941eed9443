"""`leaderboard period`: lists the epochs of periods, ends the open one, writes a result, disqualifies players."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, TextIO

from tornado_app.cli.export import FORMATS, SETTINGS, opened
from tornado_app.cli.results import ResultWriter, open_plan
from tornado_app.config import Config
from tornado_app.config.loading import add_some_settings, load_options
from tornado_app.core.boards import MAIN, View
from tornado_app.core.errors import ConfigError, LeaderboardError, StartupError
from tornado_app.core.model import rfc3339
from tornado_app.core.moderation import ModerationRequest
from tornado_app.core.periods import Epoch, EpochState
from tornado_app.core.plan import is_open

if TYPE_CHECKING:  # the driver is loaded when the command runs
    from tornado_app.mongo.client.driver import Client

BY = "leaderboard period"
"""Who disqualifies by this command."""

FLAGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "list": ((), ()),
    "end": ((), ()),
    "results": ((), ("epoch",)),
    "disqualify": (("epoch", "player", "reason"), ("undo",)),
    "disqualified": (("epoch",), ()),
}
"""The actions, each with the flags that it needs, and others that it uses; without `board`, `format` and `output`."""

EXAMPLES = """examples:
  leaderboard period list
      the epochs of all boards, of the database in ./leaderboard-data, whether the service runs or not
  leaderboard period end season --mongodb-uri-file /run/secrets/uri
      the open epoch ends in five seconds, and the next one begins
  leaderboard period disqualify weekly --epoch 14 --player mallory --reason "speed hack"
      an epoch without a final result leaves the player out of it; --undo takes it back
  leaderboard period disqualified weekly --epoch 14
      the disqualified players as JSON Lines, with moderator, reason and time
  leaderboard period results weekly --board kart --epoch 14 --format csv --output kart-14.csv
      the rows of a sealed epoch; leaderboard export results writes those of all

list prints board, period, epoch, start, end, state, and of a sealed epoch the rows and the SHA-256, then the rows that
erasures removed, if any. The SHA-256 is the digest of the result as JSON Lines: leaderboard period results weekly |
sha256sum. For some seconds after an erasure, it is "-". Without --epoch, results are those of the last sealed epoch.
The exit code is 1 if the rows do not have the recorded digest."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the actions and flags of `leaderboard period` to `parser`."""
    parser.add_argument("action", choices=tuple(FLAGS), help="the action")
    parser.add_argument("period", nargs="?", metavar="PERIOD", help="the period (default: of list, all)")
    about = "board of the period (default: main; of list, all)"
    parser.add_argument("--board", metavar="NAME", help=about)
    about = "epoch of disqualify and disqualified, or of the results (default: the last sealed one)"
    parser.add_argument("--epoch", type=_number, metavar="N", help=about)
    parser.add_argument("--player", metavar="ID", help="user id of the player to disqualify")
    parser.add_argument("--reason", metavar="TEXT", help="why the player is disqualified")
    parser.add_argument("--undo", action="store_true", help="do not disqualify the player any more")
    parser.add_argument("--format", choices=FORMATS, default="jsonl", help="format of the results (default: jsonl)")
    about = "file of the results, to write or replace (default: standard output)"
    parser.add_argument("--output", type=Path, metavar="FILE", help=about)
    add_some_settings(parser, SETTINGS)


def run(options: argparse.Namespace, *, out: IO[str] | None = None, err: TextIO | None = None) -> int:
    """Carry out one action; the exit code. Raises ConfigError and StartupError."""
    import asyncio

    config = load_options(options, relevant=SETTINGS)
    _check(options)
    with opened(options.output, out or sys.stdout) as file:
        return asyncio.run(_connected(config, options, file, err or sys.stderr))


def _number(text: str) -> int:
    """The number of an epoch. Raises ArgumentTypeError."""
    if not text.isdecimal() or (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("use the number of an epoch, from 1")
    return number


def _check(options: argparse.Namespace) -> None:
    """Raises ConfigError if the action does not have what it needs, or has a flag that it does not use."""
    action = options.action
    if action != "list" and options.period is None:
        raise ConfigError([f"name the period: leaderboard period {action} PERIOD"])
    needed, others = FLAGS[action]
    missing = [f"--{name}: it is missing; {action} needs it" for name in needed if not getattr(options, name)]
    unused = sorted({name for names in FLAGS.values() for flags in names for name in flags} - {*needed, *others})
    given = [f"--{name}: {action} does not use it; leave it out" for name in unused if getattr(options, name)]
    if faults := missing + given:
        raise ConfigError(faults)


async def _connected(config: Config, options: argparse.Namespace, out: IO[str], err: TextIO) -> int:
    from tornado_app.mongo.periods.plan import PlanChanged

    database = config.mongodb_database
    async with open_plan(config) as (client, shared, plan, now):
        if options.action == "list":
            rows = _rows(plan, now, options.board, options.period)
            if not rows and (options.board or options.period):
                raise StartupError("the database has no such period; leaderboard period list prints all")
            out.writelines(rows)
            return 0
        view = View(options.board or MAIN.name, options.period)
        if view not in plan:
            raise StartupError(
                f"the database has no period {view.period!r} of board {view.board!r}: see leaderboard period list"
            )
        if options.action == "end":
            try:
                epoch = await shared.end_now(view)
            except PlanChanged:
                raise StartupError(
                    f"no epoch of {view.period} is open, or another process ends it: try again"
                ) from None
            out.write(f"epoch {epoch.number} of {view.period} ends at {rfc3339(epoch.end or 0)}\n")
            return 0
        if options.action == "disqualify":
            out.write(await _disqualify(client, database, view, options))
            return 0
        if options.action == "disqualified":
            out.writelines(await _disqualified(client, database, view, options.epoch))
            return 0
        epoch = _sealed(plan[view], view, options.epoch)
        if not await ResultWriter(options.format, out).write(client, database, view, epoch, err):
            return 1
        err.write(f"exported: {epoch.rows:,} rows of epoch {epoch.number}, SHA-256 {epoch.sha256}\n")
        return 0


async def _disqualify(client: Client, database: str, view: View, options: argparse.Namespace) -> str:
    """Change whether a player is disqualified; what was done."""
    from tornado_app.mongo.periods.disqualification import Disqualifications

    case = ModerationRequest(options.player, BY, options.reason)
    try:
        changed = await Disqualifications(client, database).change(
            view, options.epoch, case, disqualified=not options.undo
        )
    except LeaderboardError as error:
        raise StartupError(str(error)) from None
    state = "not disqualified" if options.undo else "disqualified"
    return (
        f"{options.player} {'is now' if changed else 'was already'} {state} in epoch {options.epoch} of {view.period}\n"
    )


async def _disqualified(client: Client, database: str, view: View, number: int) -> list[str]:
    """A line of JSON for each disqualified player of an epoch."""
    import msgspec

    from tornado_app.mongo.periods.disqualification import Disqualifications
    from tornado_app.mongo.players.documents import milliseconds

    try:
        listed = await Disqualifications(client, database).listed(view, number)
    except LeaderboardError as error:
        raise StartupError(str(error)) from None
    return [
        msgspec.json.encode({**each, "at": rfc3339(milliseconds(each["at"]) or 0)}).decode() + "\n" for each in listed
    ]


def _rows(plan: Mapping[View, Sequence[Epoch]], now: int, board: str | None, period: str | None) -> list[str]:
    """A line for each epoch."""
    return [
        "  ".join((view.board, view.period or "", str(epoch.number), *_columns(epoch, now))) + "\n"
        for view, epochs in plan.items()
        for epoch in epochs
        if board in (None, view.board) and period in (None, view.period)
    ]


def _columns(epoch: Epoch, now: int) -> list[str]:
    end = "-" if epoch.end is None else rfc3339(epoch.end)
    if epoch.state is EpochState.SEALED:
        erased = [f"{epoch.erased} erased"] if epoch.erased else []
        return [rfc3339(epoch.start), end, "sealed", str(epoch.rows), epoch.sha256 or "-", *erased]
    state = "open" if is_open(epoch, now) else "planned" if epoch.start > now else "closing"
    return [rfc3339(epoch.start), end, state]


def _sealed(epochs: Sequence[Epoch], view: View, number: int | None) -> Epoch:
    sealed = [epoch for epoch in epochs if epoch.state is EpochState.SEALED]
    for epoch in reversed(sealed):
        if number in (None, epoch.number):
            return epoch
    wanted = "a sealed epoch" if number is None else f"a result of epoch {number}"
    raise StartupError(f"{view.period} does not have {wanted}: see leaderboard period list")
