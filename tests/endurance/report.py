"""Trials as a CSV file, and as the table of docs/reliability.md."""

from __future__ import annotations

import csv
import statistics
from collections import defaultdict
from pathlib import Path

from tests.endurance.trial import Outcome

TIMES = ("away", "answered", "shown", "ready")
COLUMNS = ("fault", "seed", "acknowledged", "unclear", "lost", "doubled", *TIMES, "busiest", "problems")


def append(path: Path, outcome: Outcome) -> None:
    """One more line; the first one comes with the names of the columns."""
    new = not path.exists()
    row = vars(outcome) | vars(outcome.recovery) | {"problems": len(outcome.problems)}
    row |= {name: f"{row[name]:.2f}" for name in TIMES}
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def table(path: Path) -> str:
    """A line for each fault, over all of its trials."""
    by_fault: dict[str, list[dict[str, str]]] = defaultdict(list)
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            by_fault[row["fault"]].append(row)
    head = "| Fault | Trials | Acknowledged | Unclear | Lost | Doubled | Away | Answered | Shown | Ready |\n"
    head += "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
    return head + "".join(_line(fault, rows) for fault, rows in by_fault.items())


def _line(fault: str, rows: list[dict[str, str]]) -> str:
    sums = [sum(int(row[name]) for row in rows) for name in ("acknowledged", "unclear", "lost", "doubled")]
    times = [_spread([float(row[name]) for row in rows]) for name in TIMES]
    return f"| {fault} | {len(rows)} | " + " | ".join([*(f"{total:,}" for total in sums), *times]) + " |\n"


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.1f}, {max(seconds):.1f}"
