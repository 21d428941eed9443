"""Rules as values, and as Prometheus writes them."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

Object = dict[str, Any]

Severity: TypeAlias = Literal["page", "ticket"]
"""`page`: players are hurt, or are about to be, now. `ticket`: somebody looks at it in working hours."""

Dashboard: TypeAlias = Literal["fleet", "service", "operator"]

DASHBOARDS: dict[Dashboard, str] = {
    "fleet": "d/leaderboard-fleet",
    "service": "d/leaderboard-service?var-namespace={{ $labels.namespace }}&var-leaderboard={{ $labels.leaderboard }}",
    "operator": "d/leaderboard-operator",
}
"""Paths of the dashboards in a Grafana, by their uids (dashboards/frame.py)."""

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


class Routing(msgspec.Struct, frozen=True, kw_only=True):
    """Where alerts link to, and the labels by which an Alertmanager routes them.

    `runbooks`: address of the folder of the pages in docs/runbooks. `grafana`: address of the Grafana that has the
    dashboards. Without an address an alert names the page or the path instead of linking to it. `severities`: the
    values of the label `severity` for pages and tickets. `labels`: more labels of each alert, such as a team.
    """

    runbooks: str = ""
    grafana: str = ""
    severities: dict[str, str] = {}
    labels: dict[str, str] = {}

    def annotations(self, runbook: str, dashboard: str) -> Object:
        """The links of an alert."""
        return {
            **_link("runbook", self.runbooks, "docs/runbooks", runbook),
            **_link("dashboard", self.grafana, "", dashboard),
        }

    def label(self, severity: Severity, own: dict[str, str]) -> Object:
        """The labels of an alert; its own win."""
        return {**self.labels, "severity": self.severities.get(severity, severity), **own}


def _link(name: str, address: str, folder: str, target: str) -> Object:
    if address:
        return {f"{name}_url": f"{address.rstrip('/')}/{target}"}
    return {name: f"{folder}/{target}".lstrip("/")}


class Recording(msgspec.Struct, frozen=True):
    """An expression whose value is kept, under a name of the form level:metric:operation."""

    name: str
    expression: str

    def rule(self, routing: Routing) -> Object:
        """As Prometheus writes it; `routing` is for alerts."""
        return {"record": self.name, "expr": self.expression}


class Comparison(msgspec.Struct, frozen=True):
    """`left` against a bound; without a bound it holds where `left` gives anything.

    `unlabelled`: it has no labels, and counts for the series of the comparison before it whatever labels those have.
    """

    left: str
    bound: str = ""
    unlabelled: bool = False

    def __str__(self) -> str:
        return f"{self.left} {self.bound}".rstrip()


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Fires at once, or when all comparisons have held as long as `hold`. Each has its page in docs/runbooks/.

    `dashboard`: the one that shows most about it.
    """

    name: str
    when: tuple[Comparison, ...]
    hold: str = ""
    severity: Severity
    summary: str
    description: str
    labels: dict[str, str] = {}
    dashboard: Dashboard = "service"

    def rule(self, routing: Routing) -> Object:
        """As Prometheus writes it."""
        first, *others = self.when
        more = (f"\nand {'on () ' if each.unlabelled else ''}{each}" for each in others)
        links = routing.annotations(f"{self.name}.md", DASHBOARDS[self.dashboard])
        return {
            "alert": self.name,
            "expr": "".join((str(first), *more)),
            **({"for": self.hold} if self.hold else {}),
            "labels": routing.label(self.severity, self.labels),
            "annotations": {"summary": self.summary, "description": self.description, **links},
        }


class Group(msgspec.Struct, frozen=True):
    """Rules that are evaluated one after the other. `interval` is Prometheus' own unless it is given."""

    name: str
    rules: tuple[Recording | Alert, ...]
    interval: str = ""

    def group(self, routing: Routing) -> Object:
        """As Prometheus writes it."""
        interval = {"interval": self.interval} if self.interval else {}
        return {"name": self.name, **interval, "rules": [each.rule(routing) for each in self.rules]}
