"""Rules as values, and as Prometheus writes them."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

Object = dict[str, Any]

Severity: TypeAlias = Literal["page", "ticket"]
"""`page`: players are hurt, or are about to be, now. `ticket`: somebody looks at it in working hours."""

BY = "by (namespace, leaderboard)"
"""What makes one Leaderboard of the series of all its pods and processes."""

NAME = "{{ $labels.namespace }}/{{ $labels.leaderboard }}"


class Scope(msgspec.Struct, frozen=True):
    """Which series rules are about: those of one Leaderboard, or of all where it names none."""

    namespace: str = ""
    leaderboard: str = ""

    def series(self, metric: str, *matchers: str) -> str:
        """A selector."""
        own = (f'namespace="{self.namespace}"', f'leaderboard="{self.leaderboard}"') if self.leaderboard else ()
        inside = ",".join([*own, *matchers])
        return f"{metric}{{{inside}}}" if inside else metric


class Recording(msgspec.Struct, frozen=True):
    """An expression whose value is kept, under a name of the form level:metric:operation."""

    name: str
    expression: str

    def rule(self, runbooks: str) -> Object:
        """As Prometheus writes it; `runbooks` is for alerts."""
        return {"record": self.name, "expr": self.expression}


class Comparison(msgspec.Struct, frozen=True):
    """`left` against a bound; without a bound it holds where `left` gives anything."""

    left: str
    bound: str = ""

    def __str__(self) -> str:
        return f"{self.left} {self.bound}".rstrip()


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told, at once or when all comparisons have held as long as `hold`. Each has its page in docs/runbooks/."""

    name: str
    when: tuple[Comparison, ...]
    hold: str = ""
    severity: Severity
    summary: str
    description: str
    labels: dict[str, str] = {}

    def rule(self, runbooks: str) -> Object:
        """As Prometheus writes it. `runbooks`: address of the folder of the pages; empty where they have none."""
        page = f"{self.name}.md"
        where = {"runbook_url": f"{runbooks.rstrip('/')}/{page}"} if runbooks else {"runbook": f"docs/runbooks/{page}"}
        return {
            "alert": self.name,
            "expr": "\nand ".join(map(str, self.when)),
            **({"for": self.hold} if self.hold else {}),
            "labels": {"severity": self.severity, **self.labels},
            "annotations": {"summary": self.summary, "description": self.description, **where},
        }


class Group(msgspec.Struct, frozen=True):
    """Rules that are evaluated one after the other. `interval` is Prometheus' own unless it is given."""

    name: str
    rules: tuple[Recording | Alert, ...]
    interval: str = ""

    def group(self, runbooks: str) -> Object:
        """As Prometheus writes it."""
        interval = {"interval": self.interval} if self.interval else {}
        return {"name": self.name, **interval, "rules": [each.rule(runbooks) for each in self.rules]}
