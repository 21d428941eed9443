"""The results of a benchmark: figures by row and column, as medians and ranges over the rounds, and the method."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.generator import Result


@dataclass(frozen=True)
class Column:
    """One kind of figure."""

    key: str
    title: str
    digits: int = 1


@dataclass(frozen=True)
class Target:
    """A target: the median of a row's column, not above (or, `least`, not below) a bound."""

    text: str
    row: str
    column: str
    bound: float
    least: bool = False


@dataclass
class Report:
    """The figures of one benchmark. A void run is counted, and its figures are left out."""

    title: str
    how: str
    columns: Sequence[Column]
    targets: Sequence[Target] = ()
    figures: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    runs: int = 0
    void: int = 0
    generator: float = 0.0
    others: list[float] = field(default_factory=list)

    def add(self, row: str, **figures: float) -> None:
        """One round's figures of a row."""
        cells = self.figures.setdefault(row, {})
        for key, value in figures.items():
            cells.setdefault(key, []).append(value)

    def saw(self, *results: Result) -> bool:
        """Record the generator's own figures of runs; whether all runs are valid."""
        self.runs += len(results)
        self.generator = max([self.generator, *(result.raw["generator_share"] for result in results)])
        self.others += [result.raw["others_share"] for result in results]
        self.notes += [f"a peer did not accept everything: {result.failures}" for result in results if result.failures]
        bad = sum(result.void for result in results)
        self.void += bad
        return bad == 0

    def median(self, row: str, column: str) -> float:
        """Over the rounds; not a number if there is none."""
        values = [value for value in self.figures.get(row, {}).get(column, ()) if not math.isnan(value)]
        return statistics.median(values) if values else math.nan

    def markdown(self) -> str:
        """A section of results.md."""
        lines = [f"## {self.title}", "", self.how, ""]
        lines += ["| | " + " | ".join(column.title for column in self.columns) + " |"]
        lines += ["|---|" + "---:|" * len(self.columns)]
        for row, cells in self.figures.items():
            lines.append(f"| {row} | " + " | ".join(_cell(cells.get(c.key, ()), c.digits) for c in self.columns) + " |")
        lines.append("")
        lines += [self._judged(target) for target in self.targets]
        lines += [f"- {note}" for note in [*self.notes, self._conditions()] if note]
        return "\n".join(lines) + "\n"

    def _judged(self, target: Target) -> str:
        value = self.median(target.row, target.column)
        digits = next(column.digits for column in self.columns if column.key == target.column)
        if math.isnan(value):
            return f"- {target.text}: **not measured**"
        met = value >= target.bound if target.least else value <= target.bound
        return f"- {target.text}: {value:.{digits}f}, **{'reached' if met else 'not reached'}**"

    def _conditions(self) -> str:
        if not self.runs:
            return ""
        void = f", {self.void} of them void" if self.void else ""
        others = statistics.median(self.others) if self.others else 0.0
        return (
            f"{self.runs} runs{void}; the generator used at most {self.generator:.0%} of its core; all else on the "
            f"machine {others:.0%} of a core (median)"
        )


def ratio(value: float, other: float) -> float:
    """Not a number if the other is 0: CPU is counted in ticks of 10 ms, and a short run may use none."""
    return value / other if other else math.nan


def _cell(values: Sequence[float], digits: int) -> str:
    known = sorted(value for value in values if not math.isnan(value))
    if not known:
        return "–"
    middle = f"{statistics.median(known):,.{digits}f}"
    if len(known) == 1 or known[0] == known[-1]:
        return middle
    return f"{middle} ({known[0]:,.{digits}f}–{known[-1]:,.{digits}f})"
