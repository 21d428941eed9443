"""The system under test: services on a real MongoDB in one of four topologies, with their clients."""

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

from tests.endurance.account import PERIOD, Account
from tests.endurance.clients import Traffic
from tests.support import faketime
from tests.support.background import BackgroundLoop
from tests.support.mongod import ReplicaSet
from tests.support.processes import child_processes
from tests.support.proxy import Proxy
from tests.support.service import RunningService
from tests.support.wait import wait_until
from tornado_app.mongo.embedded.data_dir import DataDirectory
from tornado_app.mongo.embedded.supervisor import STABLE_SECONDS

Topology = Literal["linked", "three", "embedded", "periods"]
"""`linked`: two services, each with its own proxy to one mongod; `three`: two on a set of three; `embedded`: one;
`periods`: as `three`, with epochs of a second, and the clock of one service ten minutes ahead."""

SERVICES = 2
PLAYERS = 180
"""Fit one page of the board, and enough for the rate limit."""

FLAGS = ("--auto-register", "--rate-limit", "60/1m", "--proof-lifetime", "5s", "--log-format", "json")
"""All other settings have their defaults, except for the lease of the ledger: 1 s."""

BOARDS = {"main": {"periods": {PERIOD: {"every": "1s", "from": "2026-01-01T00:00", "keep": 1000}}}}
AHEAD = "+10m"

PROGRAM = ("-m", "tests.support.faulty_service")
FAULTS_FILE = "faults.json"
OPEN_FILES = 1024
"""What most systems allow a process by default."""


@dataclass
class Instance:
    """One service, the folder of its logs, and its proxy to the database in the topology `linked`."""

    service: RunningService
    folder: Path
    proxy: Proxy | None = None
    starts: int = 0
    descriptors: int = 0
    _unread: str = ""
    _read_to: int = 0

    def start(self) -> None:
        """Start or restart the service, with a new log."""
        self._unread, self._read_to = self.news() if self.starts else "", 0
        self.starts += 1
        self.service.start(self.folder / f"log.{self.starts}")
        self.descriptors = self.open_files()

    def open_files(self) -> int:
        """How many file descriptors all processes of the service have open."""
        assert self.service.process is not None
        pid = self.service.process.pid
        workers = [child for child, command in child_processes(pid).items() if PROGRAM[-1].encode() in command]
        return sum(map(open_files, (pid, *workers)))

    def inject(self, **how: object) -> None:
        """Inject faults into the service from now on, see tests/support/faulty_service.py."""
        draft = self.folder / "faults.draft"
        draft.write_text(json.dumps(how))
        draft.replace(self.folder / FAULTS_FILE)

    def news(self) -> str:
        """The log lines since the last call."""
        text = self._unread + self.service.log[self._read_to :]
        self._read_to, self._unread = len(self.service.log), ""
        return text


class Environment:
    """A running system and its clients; a context manager that ends all of it and leaves no file.

    `processes`: of each service. `since`: when an embedded mongod last began to serve.
    """

    def __init__(self, topology: Topology, seed: int, processes: int = 1) -> None:
        self.topology: Topology = topology
        self.processes = processes
        self.account = Account()
        self.players = [f"p{number}" for number in range(PLAYERS)]
        self.instances: list[Instance] = []
        self.folder = Path(tempfile.mkdtemp(prefix="leaderboard-endurance-"))
        self.loop = BackgroundLoop()
        self.replica_set: ReplicaSet | None = None
        self._seed = seed
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Environment:
        try:
            self._stack.callback(shutil.rmtree, self.folder)
            self._stack.enter_context(self.loop)
            for _ in range(1 if self.topology == "embedded" else SERVICES):
                self._add_instance()
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
        traffic = Traffic(
            lambda: [instance.service for instance in self.instances], self.account, self.players, self._seed
        )
        await traffic.open()
        return traffic

    # -- the services -----------------------------------------------------------------------------

    def _add_instance(self) -> None:
        folder = self.folder / str(len(self.instances))
        folder.mkdir()
        flags, uri, proxy = (*FLAGS, "--processes", str(self.processes)), None, None
        if self.topology == "embedded":
            flags = (*flags, "--data-dir", str(self.folder / "data"))
        else:
            uri = self._database_uri()
        if self.topology == "linked":
            proxy = self._stack.enter_context(Proxy(self.loop, self.members.members[0].port))
            uri = f"mongodb://localhost:{proxy.port}/?directConnection=true"
        env: dict[str, str | None] = {"ENDURANCE_FAULTS": str(folder / FAULTS_FILE)}
        if self.topology == "periods":
            boards = self.folder / "boards.yaml"
            boards.write_text(json.dumps({"boards": BOARDS}))  # JSON is YAML
            flags = (*flags, "--boards-file", str(boards))
            env |= faketime.environment(AHEAD) if self.instances else {}
        service = RunningService(*flags, uri=uri, program=PROGRAM, env=env, limits=(OPEN_FILES, OPEN_FILES))
        self._stack.callback(service.close)
        instance = Instance(service, folder, proxy)
        instance.start()
        self.instances.append(instance)

    def _database_uri(self) -> str:
        if self.replica_set is None:
            self.replica_set = self._stack.enter_context(ReplicaSet(1 if self.topology == "linked" else 3))
        return self.replica_set.uri

    @property
    def running(self) -> list[Instance]:
        """The services that no fault has ended."""
        return [
            instance
            for instance in self.instances
            if instance.service.process and instance.service.process.poll() is None
        ]

    def start_ended(self) -> None:
        """Start each service that has ended, as an orchestrator does."""
        for instance in self.instances:
            if instance not in self.running:
                instance.start()

    # -- the database -----------------------------------------------------------------------------

    @property
    def members(self) -> ReplicaSet:
        """The replica set, on the topologies that have one of their own."""
        assert self.replica_set is not None
        return self.replica_set

    def wait_healthy(self) -> None:
        """Wait until every member is healthy, or an embedded mongod has run long enough to be restarted."""
        if self.replica_set is not None:
            self.replica_set.wait_healthy()
        else:
            wait_until(lambda: time.monotonic() > self.since + STABLE_SECONDS, what="it has run long enough")

    @contextlib.contextmanager
    def database(self) -> Iterator[Database[dict[str, Any]]]:
        """The service's database, without a proxy."""
        if self.replica_set is not None:
            uri = self.replica_set.uri
        else:
            uri = DataDirectory(self.folder / "data").uri_file.read_text()
        with MongoClient(uri, serverSelectionTimeoutMS=20_000, tz_aware=True) as client:
            yield client["leaderboard"]

    def embedded_pid(self) -> int | None:
        """That of the mongod that the service started, once it runs."""
        process = self.instances[0].service.process
        assert process is not None
        return next((pid for pid, command in child_processes(process.pid).items() if b"mongod" in command), None)


def open_files(pid: int) -> int:
    """How many file descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208  # no folder is meant
