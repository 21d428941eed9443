"""Nakama on PostgreSQL, as its users run it: leaderboards of operator `incr`, a session for each player, REST.

Each score is durable when it is acknowledged (`fsync` and `synchronous_commit`). It gives no exactly-once, no exact
limits, no ledger and no push of the board. All settings that are not here are Nakama's defaults.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import building
from bench.processes import START_SECONDS, Failed, Missing, Program, tie
from tornado_app.mongo.embedded.mongod import free_port

VERSION = "v3.40.0"
MODULE = f"github.com/heroiclabs/nakama/v3@{VERSION}"
NEEDED_FOR = "Nakama"

RECORDS = "/v2/leaderboard/"
PATH = f"{RECORDS}board"
RPC_PATH = "/v2/rpc/score?unwrap"
"""One request that writes to all leaderboards, by a function of the server."""
HEADERS = "Authorization: Bearer {token}\nContent-Type: application/json"
BOARD = {"board": ""}
"""The reset schedule of each leaderboard: a cron expression, or none."""

MODULE = """
nakama.register_rpc(function(context, payload)
  local expiries = {}
  for _, id in ipairs(boards) do
    expiries[id] = nakama.leaderboard_record_write(id, context.user_id, context.username, 1).expiry_time
  end
  return nakama.json_encode(expiries)
end, "score")
nakama.register_leaderboard_reset(function(context, board, reset)
  local total = 0
  for _, record in ipairs(nakama.leaderboard_records_list(board.id, nil, 10000, nil, reset)) do
    total = total + record.score
  end
  nakama.logger_info("reset of " .. board.id .. " at " .. reset .. ": " .. total)
end)
"""
"""A module of Nakama's runtime: only such a module can create a leaderboard. The function that Nakama calls at a reset
reads the records that are closed, as a game does to reward them, and logs the sum of their scores."""

SESSION_SECONDS = 6 * 3600
SIGNING_IN = 16
"""Connections."""

POSTGRESQL = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",  # Nakama opens up to 100
    "shared_buffers": "512MB",  # as much as each mongod
    "max_wal_size": "4GB",
    "fsync": "on",
    "synchronous_commit": "on",
    "log_line_prefix": "",
}
DATA = Path("/var/tmp")
"""A real disk that PostgreSQL's own user can reach: a home folder may be closed to it, and /tmp may be memory."""
POSTGRESQL_PROGRAMS = Path("/usr/lib/postgresql")
"""Debian and Ubuntu have a folder of programs for each version there, and not on the PATH."""
OWNER = "postgres"
"""The user for whom PostgreSQL runs if this process is root's, which PostgreSQL refuses to be."""


def nakama() -> Path:
    """The program, built on first use. Raises Missing or Failed."""
    program = building.CACHE / "nakama" / VERSION / "nakama"
    if not program.exists():
        sys.stderr.write("Building Nakama, once: two minutes of two cores, and the download of its modules\n")
        module = json.loads(building.go("mod", "download", "-json", MODULE, folder=Path("/"), needed_for=NEEDED_FOR))
        flags = f"-s -w -X main.version={VERSION.removeprefix('v')}"
        # As the main module of its own build it has exactly the libraries of its go.sum.
        building.build(program, Path(module["Dir"]), "-mod=readonly", "-ldflags", flags, needed_for=NEEDED_FOR)
    return program


def postgresql() -> Path:
    """The folder with PostgreSQL's programs. Raises Missing."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    folders = [path.parent for path in POSTGRESQL_PROGRAMS.glob("*/bin/initdb")]
    if not folders:
        raise Missing("Nakama needs PostgreSQL: apt-get install postgresql")
    return max(folders, key=lambda folder: int(folder.parent.name))


def versions() -> str:
    """Of both, in words."""
    done = subprocess.run([postgresql() / "postgres", "--version"], capture_output=True, text=True, check=True)
    return f"Nakama {VERSION.removeprefix('v')}, PostgreSQL {re.findall(r'[0-9.]+', done.stdout)[0]}"


class PostgreSQL:
    """A new server on loopback; a context manager. `address` is for its clients, with the password."""

    def __init__(self, cores: frozenset[int]) -> None:
        self._cores = cores
        self._programs = postgresql()
        self._temporary = tempfile.TemporaryDirectory(prefix="leaderboard-postgresql-", dir=DATA)
        self._folder = Path(self._temporary.name)
        self._as_owner: list[str] = []
        password, port = secrets.token_hex(16), free_port()
        self.address = f"{OWNER}:{password}@127.0.0.1:{port}"
        (self._folder / "password").write_text(password, encoding="ascii")
        if os.geteuid() == 0:
            self._give_away()
        command = [*self._as_owner, str(self._programs / "postgres"), "-D", str(self._folder / "data"), "-p", str(port)]
        command += [word for name, value in POSTGRESQL.items() for word in ("-c", f"{name}={value}")]
        # At once, but not without its end: it has to give back a segment of shared memory.
        self._program = Program(command, self._folder / "log", cores, end=signal.SIGQUIT)

    def __enter__(self) -> PostgreSQL:
        try:
            self._initialize()
            self._program.__enter__()
            self._program.wait_for("LOG:  database system is ready to accept connections")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._program.__exit__()
        self._temporary.cleanup()

    @property
    def pid(self) -> int:
        """The process id of its first process, whose children serve."""
        return self._program.pid

    def _give_away(self) -> None:
        try:
            owner = pwd.getpwnam(OWNER)
        except KeyError:
            raise Missing(f"as root, PostgreSQL needs a user for itself: adduser --system {OWNER}") from None
        for path in (self._folder, self._folder / "password"):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        self._as_owner = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
        self._as_owner += ["--pdeathsig=keep"]

    def _initialize(self) -> None:
        command = [*self._as_owner, str(self._programs / "initdb"), "-D", str(self._folder / "data")]
        command += ["--username", OWNER, "--pwfile", str(self._folder / "password"), "--auth=scram-sha-256"]
        _run([*command, "--no-locale", "--encoding=UTF8"], self._cores)


class Nakama:
    """A Nakama on an empty database; a context manager. Its files are in `folder`.

    `boards`: its leaderboards, each with its reset schedule.
    """

    def __init__(self, folder: Path, database: str, cores: frozenset[int], boards: Mapping[str, str] = BOARD) -> None:
        self._port = _free_ports()
        self.url = f"http://127.0.0.1:{self._port}"
        self._cores = cores
        self._server_key = secrets.token_hex(16)
        self._configuration = folder / "nakama.yml"
        modules = folder / "modules"
        modules.mkdir()
        (modules / "boards.lua").write_text(_module(boards), encoding="ascii")
        settings = {
            "name": "bench",
            "data_dir": str(folder),
            "database": {"address": [database]},
            "socket": {"address": "127.0.0.1", "port": self._port, "server_key": self._server_key},
            "console": {
                "address": "127.0.0.1", "port": self._port + 4, "username": "bench", "password": secrets.token_hex(16),
                "signing_key": secrets.token_hex(16),
            },
            "session": {
                "encryption_key": secrets.token_hex(16), "refresh_encryption_key": secrets.token_hex(16),
                "token_expiry_sec": SESSION_SECONDS,
            },
            "runtime": {"path": str(modules), "http_key": secrets.token_hex(16)},
        }  # fmt: skip
        self._configuration.touch(0o600)
        self._configuration.write_text(json.dumps(settings), encoding="ascii")  # JSON is YAML
        environment = {"NAKAMA_TELEMETRY": "0"}
        self._command = [str(nakama()), "--config", str(self._configuration)]
        self.log = folder / "nakama.log"
        self._program = Program(self._command, self.log, cores, environment)

    def __enter__(self) -> Nakama:
        program, *options = self._command
        _run([program, "migrate", "up", *options], self._cores)
        self._program.__enter__()
        try:
            self._program.wait_for('"msg":"Startup done"')
        except BaseException:
            self._program.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._program.__exit__()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._program.pid

    def sessions(self, names: list[str]) -> dict[str, str]:
        """The token of a new account for each name, as a game's client gets it on a new device."""
        with ThreadPoolExecutor(SIGNING_IN) as pool:
            found = pool.map(self._sign_in, [names[start::SIGNING_IN] for start in range(SIGNING_IN)])
            return {name: token for tokens in found for name, token in tokens.items()}

    def _sign_in(self, names: list[str]) -> dict[str, str]:
        key = base64.b64encode(f"{self._server_key}:".encode()).decode()
        headers = {"Authorization": f"Basic {key}", "Content-Type": "application/json"}
        found = {}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=START_SECONDS)) as client:
            for name in names:
                path = f"/v2/account/authenticate/device?create=true&username={name}"
                client.request("POST", path, json.dumps({"id": f"device-of-{name}"}), headers)
                answer = client.getresponse()
                body = answer.read()
                if answer.status != http.client.OK:
                    raise Failed(f"Nakama did not create an account: {answer.status} {body[:200]!r}")
                found[name] = str(json.loads(body)["token"])
        return found


def _module(boards: Mapping[str, str]) -> str:
    lines = ['local nakama = require("nakama")', "local boards = {" + ", ".join(map(json.dumps, boards)) + "}"]
    lines += [
        f'nakama.leaderboard_create({json.dumps(name)}, false, "desc", "incr", {json.dumps(reset)})'
        for name, reset in boards.items()
    ]
    return "\n".join(lines) + MODULE


def _run(command: list[str], cores: frozenset[int]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=lambda: tie(cores))
    if done.returncode != 0:
        raise Failed(f"{command} ended:\n{(done.stdout + done.stderr)[-2000:]}")


def _free_ports() -> int:
    """A port for the API. gRPC is on the one before it, the console on the fourth and the first after it."""
    while True:
        port = free_port()
        if all(_is_free(port + offset) for offset in (-1, 1, 4)):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
