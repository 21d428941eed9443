"""The measured systems: the service and its peers, each a process tree with clients and an account of its CPU."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import secrets
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench import database
from bench.database import DATABASE, Database
from bench.peers import nakama
from bench.processes import START_SECONDS, Program, python, until
from tornado_app.auth import keys, minting

READY = "leaderboard ready at "
TAKEN_OVER = 500
"""Players a second that a starting service indexes, reads and adds to the ledger at least."""

TOKEN_SECONDS = 6 * 3600.0

SERVICE_FLAGS = (
    # Points of a player's own word are bounded by 1000 for safety; some benchmarks lift players far with one update.
    *("--action-proof", "optional", "--max-increment", "1000000000"),
    # All sockets come from this machine.
    *("--max-connections-per-address", "1000000", "--max-connections", "100000"),
)
"""Everything else is as by default: rate limit 10/60s, audit lines on, to a file."""


@dataclass
class System:
    """A system that serves. `groups`: its process trees. `turn`: the next player, kept between runs.

    `base`: the service's own MongoDB. `log`: Nakama's.
    """

    name: str
    url: str
    socket: str
    groups: dict[str, int]
    write_path: str = ""
    write_headers: str = ""
    metrics: str = ""
    read_headers: str = ""
    turn: int = 0
    players: Path | None = field(default=None, repr=False)
    base: Database | None = field(default=None, repr=False)
    log: Path | None = field(default=None, repr=False)

    @property
    def is_ours(self) -> bool:
        """Whether it is the service, which must accept everything; a peer that does not keep up is a finding."""
        return bool(self.metrics)

    def metric(self, name: str) -> float:
        """The sum of the service's own samples of that name."""
        with urllib.request.urlopen(self.metrics, timeout=10) as answer:
            text = answer.read().decode()
        return sum(float(value) for value in re.findall(rf"(?m)^{name}(?:{{.*}})? (\S+)$", text))


class Stage:
    """Starts systems, and ends them all; a context manager. Each gets a folder of its own under `folder`."""

    def __init__(self, folder: Path, cores: frozenset[int]) -> None:
        self._folder = folder
        self._cores = cores
        self._numbers = itertools.count()
        self._stack = contextlib.ExitStack()
        self.secret = secrets.token_urlsafe(32)

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def service(
        self,
        players: int,
        *,
        name: str = "Player {}",
        flags: tuple[str, ...] = (),
        module: str = "tornado_app",
        periods: Mapping[str, Any] | None = None,
        idle: int = 0,
    ) -> System:
        """`leaderboard serve`, or its variant `module`, on a MongoDB of its own, with players who have played.

        `periods` of its board, as in the boards file; `idle` more players have a score in the first epoch of each.
        """
        base = self._database(lambda: database.seasoned(players, name=name, idle=idle, periods=tuple(periods or ())))
        if periods:
            boards = self._new_folder() / "boards.yaml"
            boards.write_text(json.dumps({"boards": {"main": {"periods": periods}}}), encoding="ascii")  # JSON is YAML
            flags = ("--boards-file", str(boards), *flags)
        program = self._stack.enter_context(self.service_process(base, flags, module))
        patience = START_SECONDS + idle / TAKEN_OVER
        address, metrics = re.findall(r"https?://[^\s)]+", program.wait_for(READY, patience))
        found = System(
            "this service", address, address.replace("http", "ws", 1) + "/ws/scoreboard",
            {"server": program.pid, "mongod": base.pid}, "/api/score",
            "Authorization: Bearer {token}\nContent-Type: application/json\nIdempotency-Key: {id}",
            metrics, players=self._tokens(players), base=base,
        )  # fmt: skip
        with base.client() as client:
            ledger = client[DATABASE]["ledger"]  # its metric does not count what was written before an error
            for _ in until(patience, "the ledger has taken over the players"):
                if ledger.estimated_document_count() >= players + idle:
                    return found
        raise AssertionError("until() raises at its end")

    def admin_token(self) -> str:
        """A token of an administrator of the services."""
        key = keys.signing_secret(self.secret)
        return minting.mint(key, sub="admin", scopes=["leaderboard:admin"], ttl=TOKEN_SECONDS)

    def others(self, system: System, players: int) -> System:
        """The same service, with players that no other load updates."""
        return replace(system, players=self._tokens(players, prefix="other-"), turn=0)

    def service_process(self, base: Database, flags: tuple[str, ...] = (), module: str = "tornado_app") -> Program:
        """The process alone, which the caller must enter; it is ready after its line."""
        command = python(module, "serve", "--port", "0", "--metrics-port", "0", *SERVICE_FLAGS, *flags)
        env = {"LEADERBOARD_MONGODB_URI": base.uri, "LEADERBOARD_MONGODB_DATABASE": DATABASE}
        return self._program(command, env | {"LEADERBOARD_JWT_KEY": self.secret})

    def naive(self, players: int) -> System:
        """Tornado and Motor, on a MongoDB of its own."""
        base = self._database(lambda: database.plain(players))
        command = python("bench.peers.naive", base.uri, DATABASE)
        program = self._running(command, {"BENCH_SECRET": self.secret})
        return self._peer("naive Tornado + Motor", program, {"mongod": base.pid}, players=self._tokens(players))

    def nakama(self, players: int, boards: Mapping[str, str] = nakama.BOARD) -> System:
        """Nakama on a PostgreSQL of its own, with an account and a session for each player. Raises Missing.

        `boards`: its leaderboards, each with its reset schedule.
        """
        folder = self._new_folder()
        base = self._stack.enter_context(nakama.PostgreSQL(self._cores))
        server = self._stack.enter_context(nakama.Nakama(folder, base.address, self._cores, boards))
        sessions = server.sessions([database.player(number) for number in range(players)])
        tokens = folder / "players"
        tokens.write_text("".join(f"{name} {token}\n" for name, token in sessions.items()), encoding="ascii")
        return System(
            "Nakama", server.url, "", {"server": server.pid, "postgresql": base.pid}, nakama.PATH, nakama.HEADERS,
            read_headers=nakama.HEADERS, players=tokens, log=server.log,
        )  # fmt: skip

    def bare(self, *, size: int = 1000, ping: float = 30.0) -> System:
        """Tornado alone, answering fixed bytes: the yardstick."""
        return self._peer("bare Tornado", self._running(python("bench.peers.bare", str(size), f"{ping:g}")))

    def broadcaster(self, name: str, module: str, players: int, player_name: str = "Player {}") -> System:
        """A peer that broadcasts, without a database."""
        program = self._running(python(f"bench.peers.{module}", str(players), player_name))
        return self._peer(name, program, write_path="/score/{player}", players=self._tokens(players))

    def mongodb(self) -> Database:
        """A MongoDB alone."""
        return self._stack.enter_context(Database(self._new_folder() / "mongodb", self._cores))

    def _database(self, documents: Callable[[], Iterator[dict[str, Any]]]) -> Database:
        base = self.mongodb()
        base.load(documents())
        return base

    def _peer(self, name: str, program: Program, groups: dict[str, int] | None = None, **more: Any) -> System:
        _, _, url, socket = program.wait_for("ready at ").split()
        headers = "Authorization: Bearer {token}\nContent-Type: application/json"
        options = {"write_path": "/api/score", "write_headers": headers} | more
        return System(name, url, socket, {"server": program.pid, **(groups or {})}, **options)

    def _running(self, command: list[str], env: dict[str, str] | None = None) -> Program:
        return self._stack.enter_context(self._program(command, env))

    def _program(self, command: list[str], env: dict[str, str] | None = None) -> Program:
        return Program(command, self._new_folder() / "log", self._cores, env)

    def _new_folder(self) -> Path:
        folder = self._folder / str(next(self._numbers))
        folder.mkdir()
        return folder

    def _tokens(self, players: int, *, prefix: str = database.PREFIX) -> Path:
        """The file of players and tokens that the generator reads."""
        path = self._folder / f"{prefix}{players}"
        if not path.exists():
            key = keys.signing_secret(self.secret)
            names = [f"{prefix}{number}" for number in range(players)]
            lines = (f"{name} {minting.mint(key, sub=name, ttl=TOKEN_SECONDS)}\n" for name in names)
            path.write_text("".join(lines), encoding="ascii")
        return path
