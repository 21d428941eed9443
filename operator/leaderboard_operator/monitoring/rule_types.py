"""The value types of rules, and their form in Prometheus."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec
import yaml

from leaderboard_operator import Object

Severity: TypeAlias = Literal["page", "ticket"]
"""`page`: players are affected now or soon. `ticket`: it can wait for working hours."""

Dashboard: TypeAlias = Literal["fleet", "service", "operator"]

DASHBOARDS: dict[Dashboard, str] = {
    "fleet": "d/leaderboard-fleet",
    "service": "d/leaderboard-service?var-namespace={{ $labels.namespace }}&var-leaderboard={{ $labels.leaderboard }}",
    "operator": "d/leaderboard-operator",
}
"""Paths of the dashboards in Grafana, with their uids (dashboards/frame.py)."""

BY = "by (namespace, leaderboard)"
"""Aggregates the series of all pods and processes of a Leaderboard."""

NAME = "{{ $labels.namespace }}/{{ $labels.leaderboard }}"


class Scope(msgspec.Struct, frozen=True):
    """The Leaderboard whose series the rules select. If empty, the rules select those of all Leaderboards."""

    namespace: str = ""
    leaderboard: str = ""

    def series(self, metric: str, *matchers: str) -> str:
        """A selector for `metric`."""
        labels = (f'namespace="{self.namespace}"', f'leaderboard="{self.leaderboard}"') if self.leaderboard else ()
        inside = ",".join([*labels, *matchers])
        return f"{metric}{{{inside}}}" if inside else metric


class Routing(msgspec.Struct, frozen=True, kw_only=True):
    """The links of alerts, and the labels by which an Alertmanager routes them.

    `runbooks` is the URL of the folder with the pages of docs/runbooks, `grafana` the URL of the Grafana with the
    dashboards. If one is empty, alerts contain a path instead of a link. `severities` maps page and ticket to values of
    the label `severity`. `labels` are additional labels of all alerts.
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
        """The labels of an alert. Its own labels override those of the routing."""
        return {**self.labels, "severity": self.severities.get(severity, severity), **own}


def _link(name: str, address: str, folder: str, target: str) -> Object:
    if address:
        return {f"{name}_url": f"{address.rstrip('/')}/{target}"}
    return {name: f"{folder}/{target}".lstrip("/")}


class Recording(msgspec.Struct, frozen=True):
    """A recording rule. Its name has the form level:metric:operation."""

    name: str
    expression: str

    def as_object(self, routing: Routing) -> Object:
        """The rule in the form of Prometheus. Recordings ignore `routing`."""
        return {"record": self.name, "expr": self.expression}


class Comparison(msgspec.Struct, frozen=True):
    """`left` compared with a bound. Without a bound it is true if `left` has any value.

    `unlabelled`: `left` has no labels, and applies to all series of the preceding comparison.
    """

    left: str
    bound: str = ""
    unlabelled: bool = False

    def __str__(self) -> str:
        return f"{self.left} {self.bound}".rstrip()


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that fires when all comparisons have been true for `hold`. Its runbook is in docs/runbooks/.

    `dashboard` is the most relevant dashboard.
    """

    name: str
    when: tuple[Comparison, ...]
    hold: str = ""
    severity: Severity
    summary: str
    description: str
    labels: dict[str, str] = {}
    dashboard: Dashboard = "service"

    def as_object(self, routing: Routing) -> Object:
        """The rule in the form of Prometheus."""
        first, *others = self.when
        more = (f"\nand {'on () ' if comparison.unlabelled else ''}{comparison}" for comparison in others)
        links = routing.annotations(f"{self.name}.md", DASHBOARDS[self.dashboard])
        return {
            "alert": self.name,
            "expr": "".join((str(first), *more)),
            **({"for": self.hold} if self.hold else {}),
            "labels": routing.label(self.severity, self.labels),
            "annotations": {"summary": self.summary, "description": self.description, **links},
        }


class Group(msgspec.Struct, frozen=True):
    """Rules that Prometheus evaluates in order. If `interval` is empty, Prometheus uses its default."""

    name: str
    rules: tuple[Recording | Alert, ...]
    interval: str = ""

    def as_object(self, routing: Routing) -> Object:
        """The group in the form of Prometheus."""
        interval = {"interval": self.interval} if self.interval else {}
        return {"name": self.name, **interval, "rules": [rule.as_object(routing) for rule in self.rules]}


def rules_file(command: str, groups: Iterable[Group], routing: Routing) -> str:
    """A rule file in YAML, which `command` prints."""
    content = {"groups": [group.as_object(routing) for group in groups]}
    head = f"# Generated by `{command}`. A test compares it with the code.\n"
    return head + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Writes expressions of several lines as literal blocks."""


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _represent_text)
