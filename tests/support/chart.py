"""The chart, rendered by helm."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from typing import Any

import yaml

from tests.cluster.build import KUBERNETES, find
from tests.support.project import ROOT

CHART = ROOT / "helm" / "leaderboard"
EXAMPLES = CHART / "examples"
RBAC = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")

Object = dict[str, Any]


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run helm where it needs no cluster."""
    return subprocess.run([str(find("helm")), *arguments], capture_output=True, text=True, timeout=60)


def template(values: Object, release: str = "lb", namespace: str = "games") -> str:
    """The chart's manifest with these values."""
    return _template(json.dumps(values), release, namespace)


@cache
def _template(values: str, release: str, namespace: str) -> str:
    flags = ["--namespace", namespace, "--kube-version", KUBERNETES, "--set-json", values]
    done = helm("template", release, str(CHART), *flags)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(values: Object, release: str = "lb", namespace: str = "games") -> list[Object]:
    """The objects of the manifest."""
    return parse(template(values, release, namespace))


def parse(text: str) -> list[Object]:
    """The objects of a YAML stream, by the C parser where PyYAML has one: CRDs are long."""
    return [each for each in yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if each]


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [each for each in objects if each["kind"] in kinds]


def example(name: str) -> Object:
    """A sample resource."""
    return yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8"))
