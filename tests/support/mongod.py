"""Real mongods for tests: replica sets of one or more members, or a standalone; on loopback, ended with pytest."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.support.wait import wait_until
from tornado_app.mongo.embedded.mongod import find_binary, free_port
from tornado_app.runtime import parent_death

REPLICA_SET = "rs0"
START_SECONDS = 60
STOP_SECONDS = 20

_PYTEST = os.getpid()


def end_with_parent() -> None:
    """For `preexec_fn`: a killed pytest leaves nothing behind. Only Linux can do it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != _PYTEST:
            os._exit(1)


class Mongod:
    """One mongod process on a port and a folder that it keeps over restarts. `options` are mongod's own."""

    def __init__(self, folder: Path, *, replica_set: bool = True, options: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.port = free_port()
        self.uri = f"mongodb://127.0.0.1:{self.port}/?directConnection=true"
        self._options = (*(("--replSet", REPLICA_SET) if replica_set else ()), *options)
        self.process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> None:
        """Start the process; `wait` returns when it answers. It ends with the thread that calls this."""
        assert self.process is None
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-I", "-S", parent_death.__file__, str(os.getpid()), str(find_binary())]
        command += ["--dbpath", str(self.folder), "--bind_ip", "127.0.0.1", "--port", str(self.port)]
        command += ["--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "128"]
        command += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
        command += ["--setParameter", "enableTestCommands=1"]  # for fail points
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self._options], stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self) -> None:
        """Until it answers; an end before that is an error that shows its log."""
        with self.client() as client:
            wait_until(lambda: self._answers(client), START_SECONDS, f"mongod on port {self.port} answers")

    def start(self) -> None:
        """Start it, again or for the first time, on the same port and data."""
        self.spawn()
        self.wait()

    @property
    def log_path(self) -> Path:
        return self.folder / "log"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def client(self) -> MongoClient:
        """A plain client of this one process."""
        return MongoClient("127.0.0.1", self.port, directConnection=True, serverSelectionTimeoutMS=500)

    def freeze(self) -> None:
        """Suspend it: its connections stay open, and it answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def lag(self, *, lags: bool = True) -> None:
        """As a secondary, replicate but apply nothing; or go on. Source: MongoDB's fail point `rsSyncApplyStop`."""
        with self.client() as client:
            client.admin.command({"configureFailPoint": "rsSyncApplyStop", "mode": "alwaysOn" if lags else "off"})

    def terminate(self) -> None:
        """End it in order."""
        self._signal(signal.SIGTERM)
        self._reap()

    def kill(self) -> None:
        """kill -9"""
        self._signal(signal.SIGKILL)
        self._reap()

    def stop(self) -> None:
        """Make sure that it is gone."""
        if self.process is not None:
            self.kill()

    def _signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def _reap(self) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.wait(STOP_SECONDS)
        self.process.stdin.close()
        self.process = None

    def _answers(self, client: MongoClient) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            tail = self.log_path.read_text(errors="replace")[-2000:]
            raise AssertionError(f"mongod ended with {self.process.returncode}: {tail}")
        try:
            return bool(client.admin.command("ping"))
        except PyMongoError:
            return False


class ReplicaSet:
    """A replica set of `members` mongods; a context manager. `uri` names all of them."""

    def __init__(self, members: int = 1, *, options: tuple[str, ...] = ()) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="leaderboard-mongod-"))
        self.members = [Mongod(self._folder / str(n), options=options) for n in range(members)]
        hosts = ",".join(f"127.0.0.1:{member.port}" for member in self.members)
        self.uri = f"mongodb://{hosts}/?replicaSet={REPLICA_SET}"

    def __enter__(self) -> ReplicaSet:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self) -> None:
        for member in self.members:
            member.spawn()
        for member in self.members:
            member.wait()
        self.initiate()

    def initiate(self) -> None:
        """Make a replica set of members that run on empty folders."""
        hosts = [{"_id": n, "host": f"127.0.0.1:{member.port}"} for n, member in enumerate(self.members)]
        with self.members[0].client() as client:
            settings = {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200}
            client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": hosts, "settings": settings})
        self.wait_healthy()

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            member.stop()
        shutil.rmtree(self._folder)

    def primary(self) -> Mongod | None:
        """The running member that accepts writes; None while there is none."""
        return next((member for member in self.members if self._says(member, "isWritablePrimary")), None)

    def secondaries(self) -> list[Mongod]:
        """The running members that follow."""
        return [member for member in self.members if self._says(member, "secondary")]

    def wait_primary(self) -> Mongod:
        return wait_until(self.primary, START_SECONDS, "a primary")

    def wait_healthy(self) -> Mongod:
        """Until there is a primary and every other member follows; the primary."""
        others = len(self.members) - 1
        wait_until(lambda: len(self.secondaries()) == others, START_SECONDS, f"{others} secondaries")
        return self.wait_primary()

    def drop(self, database: str) -> None:
        with MongoClient(self.uri, serverSelectionTimeoutMS=10_000) as client:
            client.drop_database(database)

    @staticmethod
    def _says(member: Mongod, word: str) -> bool:
        if member.process is None:
            return False
        try:
            with member.client() as client:
                return bool(client.admin.command("hello")[word])
        except PyMongoError:
            return False
