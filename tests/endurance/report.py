"""Trials as a CSV file, and as the table of docs/reliability.md: `python -m tests.endurance.report FILE`."""

from __future__ import annotations

import csv
import statistics
import sys
from collections import defaultdict
from pathlib import Path

from tests.endurance.trial import Outcome

TIMES = ("away", "answered", "shown", "ready")
COLUMNS = ("fault", "seed", "acknowledged", "unclear", "lost", "doubled", *TIMES, "busiest", "late", "problems")

PAIRS = "two at a time"
HEADS = ("Fault", "Trials", "Acknowledged", "Unclear", "Lost", "Doubled", *map(str.title, TIMES), "Late", "Wrong")


def append(path: Path, outcome: Outcome) -> None:
    """One more line; the first one comes with the names of the columns."""
    new = not path.exists()
    row = vars(outcome) | vars(outcome.recovery)
    row |= {"late": int(outcome.recovery.late), "problems": len(outcome.problems)}
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
            fault, _, several = row["fault"].partition(", ")
            by_fault[f"any, {several}" if several else PAIRS if "+" in fault else fault].append(row)
    head = f"| {' | '.join(HEADS)} |\n|---|{'---:|' * (len(HEADS) - 1)}\n"
    return head + "".join(_line(fault, rows) for fault, rows in by_fault.items())


def _line(fault: str, rows: list[dict[str, str]]) -> str:
    sums = [sum(int(row[name]) for row in rows) for name in ("acknowledged", "unclear", "lost", "doubled")]
    times = [_spread([float(row[name]) for row in rows]) for name in TIMES]
    counts = [str(sum(row[name] != "0" for row in rows)) for name in ("late", "problems")]
    return f"| {fault} | {len(rows)} | " + " | ".join([*(f"{total:,}" for total in sums), *times, *counts]) + " |\n"


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.1f}, {max(seconds):.1f}"


if __name__ == "__main__":
    sys.stdout.write(table(Path(sys.argv[1])))
