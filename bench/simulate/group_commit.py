"""How large the batches of a group commit become under load, and what that does to latency.

A flush of n updates takes a + b·n seconds, and the next takes all that came meanwhile. Where r updates come a second, a
flush that takes T is followed by one of r·T: so in the long run T = a + b·r·T, a batch holds n = r·a ÷ (1 − r·b), and
1 ÷ b is the capacity. The simulation is there because arrivals are random and batches are bounded, which the formula
knows nothing of.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

FLUSH, UPDATE = 0.0028, 0.000326
"""Seconds: a and b on a core that server and mongod share, where b is all of an update's CPU, flushed or not.

Fitted to bench/results.md: a + 64·b is what the closed loop of 64 connections took for 64 updates (2,702/s), and of the
pairs for which that holds, these come nearest to the medians of one connection and of the curve's three rates, by the
squares of their relative errors. They do not come near: 7.8 ms for 6.0 at half of the capacity, 20.3 for 35.4 at 90%.
"""

MAX_BATCH = 512
"""That of mongo/players/group_commit.py."""


@dataclass(frozen=True)
class Outcome:
    """Mean batch, and milliseconds from an update's arrival to the end of its flush."""

    batch: float
    p50: float
    p99: float


def expected_batch(rate: float, *, flush: float = FLUSH, update: float = UPDATE) -> float:
    """Updates in a batch, by the formula: 1 at least, as an update alone is flushed at once."""
    return max(1.0, rate * flush / (1 - rate * update))


def simulate(rate: float, seconds: float, *, flush: float = FLUSH, update: float = UPDATE, seed: int = 1) -> Outcome:
    """`rate` updates a second at random (Poisson) for so long."""
    chance = random.Random(seed)
    arrivals: list[float] = []
    now = chance.expovariate(rate)
    while now < seconds:
        arrivals.append(now)
        now += chance.expovariate(rate)
    latencies, batches = [], 0
    ended, first = 0.0, 0
    while first < len(arrivals):
        began = max(ended, arrivals[first])
        last = first
        while last < len(arrivals) and arrivals[last] <= began and last - first < MAX_BATCH:
            last += 1
        ended = began + flush + update * (last - first)
        latencies += [ended - arrived for arrived in arrivals[first:last]]
        batches += 1
        first = last
    latencies.sort()
    part = len(latencies) / 100
    return Outcome(len(latencies) / batches, latencies[int(50 * part)] * 1000, latencies[int(99 * part)] * 1000)


def table() -> str:
    """The measured rates, and some nearer to the capacity."""
    lines = ["| updates/s | batch, by formula | simulated | p50 ms | p99 ms |", "|---:|---:|---:|---:|---:|"]
    for rate in (50, 1351, 1891, 2431, 2760, 3040):
        found = simulate(rate, 20)
        lines.append(
            f"| {rate:,} | {expected_batch(rate):.1f} | {found.batch:.1f} | {found.p50:.1f} | {found.p99:.1f} |"
        )
    return "\n".join(lines)
