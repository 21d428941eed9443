"""One run of a benchmark: its duration, repetitions and cores; and the measurements of which benchmarks consist."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bench.generator import CACHE, Generator, Result
from bench.processes import Cores, Failed
from bench.systems import Stage, System

T = TypeVar("T")

WARMUP = 1.0
"""Seconds before the measured ones."""

YARDSTICK_CONNECTIONS = 64
PLAYED_CONNECTIONS = 256


@dataclass(frozen=True)
class Bench:
    """`smoke`: as small as possible, as a test; its figures mean nothing."""

    rounds: int
    seconds: float
    cores: Cores
    generator: Generator
    smoke: bool = False

    def pick(self, full: T, smoke: T) -> T:
        """A size for a real run, and one for a smoke run."""
        return smoke if self.smoke else full

    @contextlib.contextmanager
    def stage(self, *, all_cores: bool = False) -> Iterator[Stage]:
        """The folder of systems, on a real disk: /tmp may be memory, where a journal costs nothing."""
        cores = (self.cores.unpinned() if all_cores else self.cores).server
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="run-", dir=CACHE) as folder, Stage(Path(folder), cores) as stage:
            yield stage

    def turns(self, systems: Sequence[T]) -> Iterator[tuple[int, T]]:
        """Round and system: A B, B A, A B …, so that changes of the machine affect all systems."""
        for number in range(self.rounds):
            for system in systems if number % 2 == 0 else systems[::-1]:
                yield number, system

    # -- measuring --------------------------------------------------------------------------------

    def yardstick(self, bare: System) -> float:
        """U: microseconds of CPU for one GET of fixed bytes from a bare Tornado handler."""
        return self.read(bare, "/", connections=YARDSTICK_CONNECTIONS).cpu_us

    def read(self, system: System, path: str, *, connections: int, rate: float = 0) -> Result:
        """GET requests, closed loop or at a rate; of players in turn, if it takes their tokens to read."""
        flags = {
            "url": system.url + path, "method": "GET", "connections": connections, "rate": rate,
            "players": system.players if system.read_headers else None,
        }  # fmt: skip
        return self._request(system, flags, {"header": system.read_headers})

    def write(self, system: System, *, connections: int, rate: float = 0, refusals: bool = False) -> Result:
        """Score updates of players in turn, closed loop or at a rate; `refusals`: none of them spoils the run."""
        flags = {
            "url": system.url + system.write_path, "body": '{"score": 1}', "players": system.players,
            "connections": connections, "rate": rate, "first": system.turn,
        }  # fmt: skip
        return self._request(system, flags, {"header": system.write_headers}, refusals)

    def alternating(self, systems: dict[str, System], *, connections: int) -> list[dict[str, Result]]:
        """Score updates of each system in turn, round by round."""
        found: list[dict[str, Result]] = [{} for _ in range(self.rounds)]
        for number, (name, system) in self.turns(list(systems.items())):
            found[number][name] = self.write(system, connections=connections)
        return found

    def played(self, system: System, players: int) -> System:
        """The same, after one update of each player: as in play, tokens and players are cached."""
        last = system.turn + (0 if self.smoke else players)
        while system.turn < last:
            self.write(system, connections=PLAYED_CONNECTIONS)
        return system

    def _request(
        self, system: System, flags: dict[str, Any], headers: dict[str, str], refusals: bool = False
    ) -> Result:
        options = flags | {"warmup": f"{self.warmup}s"}
        result = self.generator.run("request", system.groups, self.seconds, options, headers)
        return self._checked(system, result, refusals)

    def watch(
        self,
        system: System,
        *,
        subscribers: int,
        rate: float,
        players: int,
        poll: str | None = None,
        stalled: int = 0,
        seconds: float | None = None,
    ) -> Result:
        """Subscribers (with `poll`, a path: pollers) of the live board while each write changes its leader.

        Player k of `players` begins with k points, and each update adds as many as there are players: so update n
        lifts its player to n + players, above all others.
        """
        flags: dict[str, Any] = {
            "socket": system.socket if poll is None else None,
            "poll-url": None if poll is None else system.url + poll,
            "subscribers": subscribers, "stalled": stalled, "rate": rate, "base": players, "first": system.turn,
            "publish-url": system.url + system.write_path, "publish-body": f'{{"score": {players}}}',
            "publish-players": system.players, "settle": f"{self.warmup}s",
            "warmup": f"{self.warmup}s",
        }  # fmt: skip
        headers = {"publish-header": system.write_headers}
        result = self.generator.run("watch", system.groups, seconds or self.seconds, flags, headers)
        return self._checked(system, result)

    @property
    def warmup(self) -> float:
        """Seconds before the measured ones."""
        return self.pick(WARMUP, 0.3)

    def _checked(self, system: System, result: Result, refusals: bool = False) -> Result:
        system.turn = int(result.raw["next"])
        if result.failures and system.is_ours and not refusals:
            raise Failed(f"{system.name} did not accept everything: {result.failures}")
        return result
