"""Reads the plan of periods, and writes results that are final, each compared with its digest."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TextIO

import msgspec

from tornado_app.config import Config
from tornado_app.core.boards import MAIN, View
from tornado_app.core.errors import StartupError
from tornado_app.core.periods import Epoch

if TYPE_CHECKING:  # the driver is loaded when the command runs
    from tornado_app.mongo.client.driver import Client
    from tornado_app.mongo.periods.plan import SharedPlan

PLACE = ("board", "period", "epoch")
"""The members that name the epoch of a row, where rows of several epochs are written."""


class OpenPlan(NamedTuple):
    """The plan of periods in a database, its epochs with `main` first, and the database's time."""

    client: Client
    shared: SharedPlan
    epochs: dict[View, Sequence[Epoch]]
    now: int


@contextlib.asynccontextmanager
async def open_plan(config: Config) -> AsyncIterator[OpenPlan]:
    """The plan in the database that the settings name. Raises StartupError, also for errors of the enclosed block."""
    from tornado_app.mongo.ledger.audit import connected

    uri, database = config.read_mongodb_uri(), config.mongodb_database
    async with connected(
        uri, database, data_dir=config.data_dir, driver=config.mongodb_driver, timeout=config.mongodb_timeout
    ) as (client, _):
        yield await _read_plan(client, database)


async def _read_plan(client: Client, database: str) -> OpenPlan:
    from tornado_app.mongo.periods.clock import DatabaseClock
    from tornado_app.mongo.periods.plan import MalformedPlan, SharedPlan

    clock = DatabaseClock(client)
    await clock.measure()
    shared = SharedPlan(client, database, clock)
    try:
        plan = await shared.refresh()
    except MalformedPlan as error:
        raise StartupError(f"another program changed the plan of periods, restore it: {error}") from None
    views = sorted(plan.epochs, key=lambda view: (view.board != MAIN.name, view))
    return OpenPlan(client, shared, {view: plan.epochs[view] for view in views}, clock.now())


class ResultWriter:
    """Writes rows as JSON Lines or CSV; with `PLACE` in each if `named`, and only those of `player` if given."""

    def __init__(self, format_: str, out: IO[str], *, named: bool = False, player: str | None = None) -> None:
        from tornado_app.mongo.periods.results import COLUMNS

        self._out = out
        self._named = named
        self._player = player
        self._table = None
        self.written = 0
        if format_ == "csv":
            self._table = csv.DictWriter(out, (*(PLACE if named else ()), *COLUMNS), lineterminator="\n")
            self._table.writeheader()

    async def write(self, client: Client, database: str, view: View, epoch: Epoch, err: TextIO) -> bool:
        """Write the rows of an epoch; whether they are those of its digest, otherwise `err` has the reason."""
        from tornado_app.mongo.periods.results import Results

        place = dict(zip(PLACE, (view.board, view.period, epoch.number), strict=True)) if self._named else {}
        rows, digest = 0, sha256()
        async for lines in Results(client, database).lines(view, epoch.number):
            rows += len(lines)
            digest.update(b"".join(lines))
            self._write(lines, place)
        name = " ".join(str(part) for part in place.values()) or str(epoch.number)
        if epoch.sha256 is None:
            err.write(f"error: epoch {name} has no digest for some seconds after an erasure: export again\n")
        elif (rows, digest.hexdigest()) != (epoch.rows, epoch.sha256):
            err.write(
                f"error: the rows of epoch {name} are not those that were sealed: the digest differs. If a player was "
                "erased or the result dropped meanwhile, export again\n"
            )
        else:
            return True
        return False

    def _write(self, lines: list[bytes], place: dict[str, Any]) -> None:
        if self._table is None and not place and self._player is None:
            self.written += len(lines)
            self._out.write(b"".join(lines).decode())
            return
        rows = self._chosen(map(msgspec.json.decode, lines))
        self.written += len(rows)
        named = [place | row for row in rows]
        if self._table is None:
            self._out.writelines([json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in named])
        else:
            self._table.writerows(named)

    def _chosen(self, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        return [row for row in rows if self._player in (None, row["user_id"])]
