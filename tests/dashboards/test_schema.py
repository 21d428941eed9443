"""The dashboards against the types of Grafana's newest schema, by its own compiler."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.dashboards import NAMES, load, panels
from tests.support.npm import packages

pytestmark = pytest.mark.long  # npm fetches the schema and its compiler

LOCK = Path(__file__).parent / "schema" / "package-lock.json"
KINDS = {
    "bargauge": "BarGauge",
    "heatmap": "Heatmap",
    "stat": "Stat",
    "state-timeline": "StateTimeline",
    "table": "Table",
    "timeseries": "TimeSeries",
}
TYPES = """import type { AnnotationQuery, Dashboard } from "@grafana/schema";
// As JSON has it: the texts of enumerations, not their members.
type Json<T> = T extends string ? `${T}` : T extends (infer U)[] ? Json<U>[]
  : T extends object ? { [K in keyof T]: Json<T[K]> } : T;
// What marks of Prometheus have besides, which the schema does not know.
type Mark = AnnotationQuery & { expr: string; step: string; titleFormat: string; useValueForTime?: "on" };
type Board = Json<Omit<Dashboard, "annotations"> & { annotations: { list: Mark[] } }>;
"""
FLAGS = ("--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022")

Compile = Callable[[str], list[str]]


@pytest.fixture(scope="module")
def compile_(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """Checks a program; what the compiler has to say, a line each."""
    modules = packages(LOCK, "the types of Grafana's schema")
    folder = tmp_path_factory.mktemp("schema")
    (folder / "node_modules").symlink_to(modules)

    def compile_(program: str) -> list[str]:
        (folder / "check.ts").write_text(program, encoding="utf-8")
        command = ["node", str(modules / "typescript" / "bin" / "tsc"), *FLAGS, "check.ts"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
        found = done.stdout.splitlines()
        assert (done.returncode == 0) == (not found), done.stderr
        return found

    return compile_


def _program(**dashboards: dict[str, Any]) -> str:
    """Each dashboard as a constant of its type, and what each panel has of its own as one of its kind's."""
    lines = [TYPES]
    for kind, name in KINDS.items():
        path = f"@grafana/schema/dist/esm/raw/composable/{kind.replace('-', '')}/panelcfg/x/{name}PanelCfg_types.gen"
        lines.append(f'import type * as {name} from "{path}";')
    for name, dashboard in dashboards.items():
        lines.append(f"export const {name}: Board = {json.dumps(dashboard, indent=1)};")
        for panel in panels(dashboard):
            kind, constant = KINDS[panel["type"]], f"{name}_{panel['id']}"
            own = {"Options": panel["options"], "FieldConfig": panel["fieldConfig"]["defaults"].get("custom")}
            for part, value in own.items():
                if value is not None:
                    lines.append(f"export const {constant}_{part}: Json<Partial<{kind}.{part}>> = {json.dumps(value)};")
    return "\n".join(lines)


def test_dashboards_match_the_schema(compile_: Compile) -> None:
    assert compile_(_program(**{name: load(name) for name in NAMES})) == []


def test_schema_check_finds_a_wrong_dashboard(compile_: Compile) -> None:
    """A wrong type, a misspelt member, a word that is none of an enumeration: of the dashboard and of a panel's own."""
    type_, member, word, own_word, own_member = (load("service") for _ in range(5))
    panels(type_)[0]["gridPos"]["w"] = "5"
    panels(member)[0]["descripton"] = ""
    panels(word)[0]["fieldConfig"]["defaults"]["thresholds"]["mode"] = "relative"
    panels(own_word)[0]["options"]["colorMode"] = "all"
    panels(own_member)[0]["options"]["colourMode"] = "none"
    found = compile_(_program(type_=type_, member=member, word=word, own_word=own_word, own_member=own_member))
    errors = [line for line in found if re.match(r"check\.ts", line)]
    assert len(errors) == 5, found
    for wrong in ("Type 'string' is not assignable to type 'number'", "descripton", "relative", "all", "colourMode"):
        assert wrong in "\n".join(found)
