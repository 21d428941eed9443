"""`python -m bench.rank_probe PLAYERS ROUNDS` times the service's own ranks, alone in a process, and prints JSON."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tornado_app.core.ranks import Ranks

ASKED = 20_000


def scores_of(players: int) -> Iterator[int]:
    """Few leaders and a long tail, as boards have; the same each time."""
    chance = random.Random(players)
    return (int(chance.paretovariate(0.7) * 10) % 100_000_000 for _ in range(players))


def probe(players: int, rounds: int) -> dict[str, Any]:
    """By round, microseconds a rank and an update; seconds to build, growth in MiB; how many ranks were wrong."""
    asked: list[int] = []
    counts: Counter[int] = Counter()
    every = max(1, players // ASKED)
    for number, score in enumerate(scores_of(players)):
        counts[score] += 1
        if number % every == 0:
            asked.append(score)
    random.Random(1).shuffle(asked)
    before = _resident()
    began = time.perf_counter()
    ranks = Ranks(counts.items())
    built = time.perf_counter() - began
    grown = _resident() - before
    wrong = sum(ranks.rank(score) != rank for score, rank in _by_counting(counts, asked))
    found: dict[str, Any] = {"rank_us": [], "move_us": [], "build_seconds": built, "mib": grown, "wrong": wrong}
    for _ in range(rounds):
        began = time.perf_counter()
        for score in asked:
            ranks.rank(score)
        found["rank_us"].append((time.perf_counter() - began) / len(asked) * 1e6)
        began = time.perf_counter()
        for place, score in enumerate(asked):
            ranks.move(score, score + 7)
            asked[place] = score + 7
        found["move_us"].append((time.perf_counter() - began) / len(asked) * 1e6)
    return found


def _by_counting(counts: Counter[int], asked: list[int]) -> Iterator[tuple[int, int]]:
    """Scores with their competition ranks, found another way: all sorted, and summed from the top."""
    above, ranks = 0, {}
    for score in sorted(counts, reverse=True):
        ranks[score] = 1 + above
        above += counts[score]
    return ((score, ranks[score]) for score in asked)


def _resident() -> float:
    """MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    print(json.dumps(probe(int(sys.argv[1]), int(sys.argv[2]))))
