"""The system that is hurt: services on a real MongoDB, on one of three grounds, with their clients."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pymongo import MongoClient
from pymongo.database import Database

from tests.endurance.account import Account
from tests.endurance.clients import Traffic
from tests.processes.conftest import offspring
from tests.support.background import BackgroundLoop
from tests.support.mongod import ReplicaSet
from tests.support.proxy import Proxy
from tests.support.service import RunningService
from tests.support.wait import wait_until
from tornado_app.mongo.embedded.data_dir import DataDirectory
from tornado_app.mongo.embedded.supervisor import STABLE_SECONDS

Ground = Literal["linked", "three", "embedded"]
"""Two services, each over a proxy of its own on one mongod; two on a set of three; one on its embedded mongod."""

SERVICES = 2
PLAYERS = 180
"""Few enough for one page of the board, and enough for the rate limit."""

FLAGS = ("--auto-register", "--rate-limit", "60/1m", "--proof-lifetime", "5s", "--log-format", "json")
"""Everything else is as by default, the lease of the ledger apart: it is 1 s, so that no trial waits for it."""

PROGRAM = ("-m", "tests.support.steered")
STEERING = "steering.json"
OPEN_FILES = 1024
"""What most systems allow a process by default."""


@dataclass
class Place:
    """One of the services, the folder of its logs, and its own link to the database on the ground that has some."""

    service: RunningService
    folder: Path
    link: Proxy | None = None
    starts: int = 0
    descriptors: int = 0
    _unread: str = ""
    _read_to: int = 0

    def start(self) -> None:
        """For the first time, or again. Each time it has a new log."""
        self._unread, self._read_to = self.news() if self.starts else "", 0
        self.starts += 1
        self.service.start(self.folder / f"log.{self.starts}")
        assert self.service.process is not None
        self.descriptors = open_files(self.service.process.pid)

    def steer(self, **how: object) -> None:
        """What the service is to believe from now on, see tests/support/steered.py."""
        draft = self.folder / "steering.draft"
        draft.write_text(json.dumps(how))
        draft.replace(self.folder / STEERING)

    def news(self) -> str:
        """What it has logged since this was asked last."""
        text = self._unread + self.service.log[self._read_to :]
        self._read_to, self._unread = len(self.service.log), ""
        return text


class Stage:
    """A running system and its clients; a context manager that ends all of it and leaves no file.

    `since`: when an embedded mongod last began to serve.
    """

    def __init__(self, ground: Ground, seed: int) -> None:
        self.ground: Ground = ground
        self.account = Account()
        self.players = [f"p{number}" for number in range(PLAYERS)]
        self.places: list[Place] = []
        self.folder = Path(tempfile.mkdtemp(prefix="leaderboard-endurance-"))
        self.loop = BackgroundLoop()
        self.replica_set: ReplicaSet | None = None
        self._seed = seed
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Stage:
        try:
            self._stack.callback(shutil.rmtree, self.folder)
            self._stack.enter_context(self.loop)
            for _ in range(1 if self.ground == "embedded" else SERVICES):
                self._add_place()
            self.since = time.monotonic()
            self.traffic = self.loop.run(self._make_traffic())
            self._stack.callback(lambda: self.loop.run(self.traffic.close()))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    async def _make_traffic(self) -> Traffic:
        traffic = Traffic(lambda: [place.service for place in self.places], self.account, self.players, self._seed)
        await traffic.open()
        return traffic

    # -- the services -----------------------------------------------------------------------------

    def _add_place(self) -> None:
        folder = self.folder / str(len(self.places))
        folder.mkdir()
        flags, uri, link = FLAGS, None, None
        if self.ground == "embedded":
            flags = (*FLAGS, "--data-dir", str(self.folder / "data"))
        else:
            uri = self._database_uri()
        if self.ground == "linked":
            link = self._stack.enter_context(Proxy(self.loop, self.members.members[0].port))
            uri = f"mongodb://localhost:{link.port}/?directConnection=true"
        env: dict[str, str | None] = {"ENDURANCE_STEERING": str(folder / STEERING)}
        service = RunningService(*flags, uri=uri, program=PROGRAM, env=env, limits=(OPEN_FILES, OPEN_FILES))
        self._stack.callback(service.close)
        place = Place(service, folder, link)
        place.start()
        self.places.append(place)

    def _database_uri(self) -> str:
        if self.replica_set is None:
            self.replica_set = self._stack.enter_context(ReplicaSet(3 if self.ground == "three" else 1))
        return self.replica_set.uri

    @property
    def running(self) -> list[Place]:
        """The services that no fault has ended."""
        return [place for place in self.places if place.service.process and place.service.process.poll() is None]

    def start_ended(self) -> None:
        """Start each service that has ended, as an orchestrator does."""
        for place in self.places:
            if place not in self.running:
                place.start()

    # -- the database -----------------------------------------------------------------------------

    @property
    def members(self) -> ReplicaSet:
        """The replica set, on the grounds that have one of their own."""
        assert self.replica_set is not None
        return self.replica_set

    def whole(self) -> None:
        """Wait until every member is there, or an embedded mongod has run long enough to be started once more."""
        if self.replica_set is not None:
            self.replica_set.wait_healthy()
        else:
            wait_until(lambda: time.monotonic() > self.since + STABLE_SECONDS, what="it has run long enough")

    @contextlib.contextmanager
    def database(self) -> Iterator[Database[dict[str, Any]]]:
        """The service's database, past all proxies."""
        if self.replica_set is not None:
            uri = self.replica_set.uri
        else:
            uri = DataDirectory(self.folder / "data").uri_file.read_text()
        with MongoClient(uri, serverSelectionTimeoutMS=20_000, tz_aware=True) as client:
            yield client["leaderboard"]

    def embedded_pid(self) -> int | None:
        """That of the mongod that the service started, once it runs."""
        process = self.places[0].service.process
        assert process is not None
        return next((pid for pid, command in offspring(process.pid).items() if b"mongod" in command), None)


def open_files(pid: int) -> int:
    """How many file descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208  # no folder is meant
