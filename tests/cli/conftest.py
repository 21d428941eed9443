"""Commands in an interpreter of their own, and a database with periods."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.periods import HOUR, MovableClock, Process
from tests.support.project import ROOT
from tornado_app.core.boards import Board
from tornado_app.core.model import utc_datetime
from tornado_app.core.periods import Cron, Period
from tornado_app.core.plan import GRACE
from tornado_app.mongo.client.driver import connect
from tornado_app.mongo.periods.clock import DatabaseClock

SLOW = {"tornado", "pymongo", "bson", "asyncio", "prometheus_client"}


@pytest.fixture
def slow_imports(tmp_path: Path) -> Callable[..., str]:
    """A function that runs a command and returns the set of slow packages that it imports, as text."""

    def run(*arguments: str) -> str:
        code = (
            f"import sys; from tornado_app.cli.main import main; main({list(arguments)});"
            f"print({SLOW} & set(sys.modules))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True, timeout=60,
            env={"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        return done.stdout.splitlines()[1]

    return run


@pytest.fixture
async def process(mongo_database):
    """A database with a sealed epoch of two players on a board, and a season on each board, by its own clock."""
    uri, name = mongo_database
    async with connect(uri) as client:
        real = DatabaseClock(client)
        await real.measure()
        clock = MovableClock(real.now() - 2 * HOUR)
        kart = Board("kart", periods=(Period("hourly", Cron("0 * * * *")), Period("season")))
        process = Process(client, name, clock, (Board(periods=(Period("season"),)), kart))
        await process.planner.plan()
        at = utc_datetime(clock.time)
        await client[name]["players.kart"].insert_many(
            {"_id": user_id, "username": "Zoë", "w": {"hourly": {"e": 1, "s": 5, "t": at}}} for user_id in ("b", "a")
        )
        clock.time += HOUR
        await process.seal_after(GRACE)
        clock.time = real.now()
        await process.planner.plan()
        yield process
