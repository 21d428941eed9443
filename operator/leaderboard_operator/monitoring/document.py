"""Rules as a file: for a Prometheus without its operator, and for the chart."""

from __future__ import annotations

from collections.abc import Iterable

import yaml

from leaderboard_operator.monitoring.board import board_groups
from leaderboard_operator.monitoring.fleet import fleet_groups
from leaderboard_operator.monitoring.rules import Group, Routing, Scope
from leaderboard_operator.spec.runtime import Slo


def boards(routing: Routing) -> str:
    """The rules of a Leaderboard, for all of them at once, with the objectives of a resource that names none."""
    return _yaml("leaderboard-operator rules", board_groups(Slo(), Scope()), routing)


def fleet(routing: Routing) -> str:
    """The rules about the fleet and the operator."""
    return _yaml("leaderboard-operator rules --fleet", fleet_groups(), routing)


class _Dumper(yaml.SafeDumper):
    """Expressions of several lines stand as such."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def _yaml(command: str, groups: Iterable[Group], routing: Routing) -> str:
    found = {"groups": [each.group(routing) for each in groups]}
    head = f"# Made by `{command}`; a test holds it against the code.\n"
    return head + yaml.dump(found, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
