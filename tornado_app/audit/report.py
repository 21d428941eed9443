"""What an audit prints: a line for each finding as it is found, and a last one that sums up."""

from __future__ import annotations

import json
from typing import Any, TextIO

from tornado_app.audit.auditor import Counts
from tornado_app.audit.findings import Finding
from tornado_app.audit.progress import Progress

PASSED = "Every score is the sum of its ledger, and every chain is whole."
FAILED = "The ledger and the players do not agree."


class Report:
    """Prints findings on `out`, as sentences or as one JSON object a line, and counts them."""

    def __init__(self, out: TextIO, progress: Progress, *, lines_of_json: bool) -> None:
        self._out = out
        self._progress = progress
        self._json = lines_of_json
        self.differences = 0
        self.irregularities = 0

    def tell(self, finding: Finding) -> None:
        """One finding."""
        if finding.kind.difference:
            self.differences += 1
        else:
            self.irregularities += 1
        label = "difference" if finding.kind.difference else "irregularity"
        if self._json:
            self._object(
                type=label, kind=finding.kind.value, player=finding.player or None, n=finding.n, message=finding.text
            )
        else:
            entry = "" if finding.n is None else f" entry {finding.n}:"
            self._line(f"{label:12}  {finding.player or '-'}:{entry} {finding.text}")

    def close(self, counts: Counts) -> None:
        """The sum of it."""
        self._progress.clear()
        if self._json:
            self._object(
                type="summary",
                players=counts.players,
                entries=counts.entries,
                erasures=counts.erasures,
                differences=self.differences,
                irregularities=self.irregularities,
            )
            return
        told = (
            _count(counts.players, "player"),
            _count(counts.entries, "entry", "entries"),
            _count(counts.erasures, "erasure"),
            _count(self.differences, "difference"),
            _count(self.irregularities, "irregularity", "irregularities"),
        )
        self._line(f"{FAILED if self.differences else PASSED} {', '.join(told)}.")

    def _line(self, text: str) -> None:
        """A line without what a terminal might obey: parts of it may be somebody's own words."""
        self._progress.clear()
        self._out.write("".join(c if c.isprintable() else ascii(c)[1:-1] for c in text) + "\n")
        self._out.flush()

    def _object(self, **members: Any) -> None:
        self._progress.clear()
        self._out.write(json.dumps({name: value for name, value in members.items() if value is not None}) + "\n")
        self._out.flush()


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
