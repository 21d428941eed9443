"""Processes that a benchmark starts: each on its core, and ended with the benchmark."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 120.0
STOP_SECONDS = 20.0
PAUSE = 0.02

_PR_SET_PDEATHSIG = 1
"""Source: prctl(2)."""

_BENCHMARK = os.getpid()


class Failed(Exception):
    """A benchmark could not run; the text says why, with the remedy."""


class Missing(Failed):
    """A program is not installed; the text says how to install it."""


@dataclass(frozen=True)
class Cores:
    """The cores of the processes. With only one core they are the same, and figures mean little."""

    server: frozenset[int]
    generator: frozenset[int]

    @classmethod
    def of_this_machine(cls) -> Cores:
        """The first core for server and database, the last for the load generator. Raises Failed but on Linux."""
        if sys.platform != "linux":
            raise Failed("benchmarks need Linux: they pin processes to cores, and read /proc")
        there = sorted(os.sched_getaffinity(0))
        return cls(frozenset(there[:1]), frozenset(there[-1:]))

    def unpinned(self) -> Cores:
        """Server and database on both cores."""
        return Cores(self.server | self.generator, self.generator)


class Program:
    """A running program; a context manager that ends it with the signal `end`. Its output goes to `log`."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        cores: frozenset[int],
        env: Mapping[str, str] | None = None,
        end: signal.Signals = signal.SIGKILL,  # nothing that it could save is wanted
    ) -> None:
        self.log = log
        self._end = end
        self._command = list(command)
        self._cores = cores
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Program:
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self._env,
                preexec_fn=lambda: tie(self._cores),
            )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(self._end)
            self._process.wait(STOP_SECONDS)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def wait_for(self, text: str, seconds: float = START_SECONDS) -> str:
        """The first line of its output with that text. Raises Failed if it exits before, or takes too long."""
        for _ in until(seconds, f"{self._command[0]} says {text!r}"):
            output = self.log.read_text(encoding="utf-8", errors="replace")
            lines = [line for line in output.splitlines(keepends=True) if text in line and line.endswith("\n")]
            if lines:
                return lines[0].strip()
            if self._process is not None and self._process.poll() is not None:
                raise Failed(f"{self._command} ended:\n{output[-2000:]}")
        raise AssertionError("until() raises at its end")


def python(*arguments: str) -> list[str]:
    """The command that runs a module of this project."""
    return [sys.executable, "-m", *arguments]


def tie(cores: frozenset[int]) -> None:
    """Between fork and exec: run on these cores, and die with the benchmark."""
    os.sched_setaffinity(0, cores)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != _BENCHMARK:  # it ended before the line above
        os._exit(1)


def until(seconds: float, what: str) -> Iterator[None]:
    """Iterations of a waiting loop. Raises Failed after the timeout."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(PAUSE)
    raise Failed(f"not within {seconds:g} s: {what}")
