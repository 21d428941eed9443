"""The load generator, bench/load: built when it has changed, run on its own core, and checked."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import building
from bench.processes import Failed, tie

SOURCE = Path(__file__).parent / "load"
CACHE = building.CACHE / "bench"

PATIENCE = 100.0
"""Seconds that a run may take in addition to the measured ones: to connect, and to wait for a slow server."""

MOST_GENERATOR = 0.7
"""Part of its core above which the generator measures itself, and a run is void."""


@dataclass(frozen=True)
class Result:
    """The result of one run of the generator; `raw` is its own JSON, described in bench/load."""

    raw: dict[str, Any] = field(repr=False)

    @property
    def accepted(self) -> int:
        """Requests answered with 2xx in the measured time."""
        return int(self.raw["accepted"])

    @property
    def failures(self) -> str:
        """Refused and failed requests in words; empty if there are none."""
        texts = [f"{count} answers {status}" for status, count in self.raw["refused"].items()]
        if self.raw["errors"]:
            texts.append(f"{self.raw['errors']} errors, such as {self.raw['last_error']}")
        if self.raw["unsent"]:
            texts.append(f"{self.raw['unsent']} requests were never sent, it was so far behind")
        return ", ".join(texts)

    @property
    def void(self) -> bool:
        """Whether the generator was too busy for a valid result."""
        return bool(self.raw["generator_share"] > MOST_GENERATOR)

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU, all groups together, for each accepted request."""
        return float(sum(self.raw["cpu_seconds"].values())) * 1e6 / max(self.accepted, 1)

    def group_cpu_us(self, group: str) -> float:
        """The same for one group."""
        return float(self.raw["cpu_seconds"][group]) * 1e6 / max(self.accepted, 1)

    def message_cpu_us(self, group: str) -> float:
        """Microseconds of a group's CPU for each message that a subscriber got."""
        return float(self.raw["cpu_seconds"][group]) * 1e6 / max(int(self.raw["messages"]), 1)

    def latency(self, quantile: str, kind: str = "latency_ms") -> float:
        """Milliseconds: p50, p90, p99, p999 or max; not a number without a measurement."""
        return float(self.raw[kind].get(quantile, "nan"))


@dataclass(frozen=True)
class Generator:
    """The built program, on its core."""

    program: Path
    core: frozenset[int]

    @classmethod
    def build(cls, core: frozenset[int]) -> Generator:
        """Build it if necessary. Raises Missing without a Go compiler."""
        sources = sorted([*SOURCE.glob("*.go"), SOURCE / "go.mod"])
        digest = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()[:16]
        program = CACHE / f"load-{digest}"
        building.build(program, SOURCE, needed_for="the load generator")
        return cls(program, core)

    def run(
        self, mode: str, groups: Mapping[str, int], seconds: float, flags: Mapping[str, Any], headers: Mapping[str, str]
    ) -> Result:
        """One run of so many measured seconds. `headers`: by the flag that takes them.

        Raises Failed where the generator gives up.
        """
        command = [str(self.program), mode, f"-seconds={seconds}s"]
        command += [f"-group={name}={pid}" for name, pid in groups.items()]
        command += [f"-{name}={value}" for name, value in flags.items() if value is not None]
        command += [f"-{flag}={line}" for flag, lines in headers.items() for line in lines.splitlines()]
        patience = seconds + PATIENCE
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=patience, check=False,
                preexec_fn=lambda: tie(self.core),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Failed(f"the load generator was not done after {patience:g} s: {' '.join(command)}") from None
        if done.returncode != 0:
            raise Failed(f"the load generator gave up: {done.stderr.strip()[-2000:]}")
        return Result(json.loads(done.stdout))
