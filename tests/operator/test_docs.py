"""docs/operator.md matches the code: fields, reasons, conditions and examples."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
import yaml
from lupa.lua51 import LuaRuntime

from leaderboard_operator import pods, status
from leaderboard_operator.spec import Spec
from leaderboard_operator.spec.fields_table import with_table
from tests.support.chart import of_kind, rendered
from tests.support.kubernetes import need_programs
from tests.support.operator_page import PAGE, code_blocks
from tests.support.project import ROOT
from tests.support.status_cases import STATUS_CASES, observed

PACKAGE = ROOT / "operator" / "leaderboard_operator"


def test_fields_table_equals_generated_one():
    """To update it: `python -m leaderboard_operator.spec.fields_table docs/operator.md`."""
    assert with_table(PAGE) == PAGE


def reasons() -> set[str]:
    pattern = re.compile(r'(?:Problem|Explanation)\(\s*"(\w+)"')
    texts = [path.read_text(encoding="utf-8") for path in PACKAGE.glob("*.py")]
    return {reason for text in texts for reason in pattern.findall(text)} | pods.DATABASE_REASONS


def test_reasons_are_documented():
    documented = set(re.findall(r"`(\w+)`", PAGE.partition("## Conditions")[2].partition("## Fields")[0]))
    assert reasons() - documented == set()
    assert len(reasons()) > 30


def test_conditions_are_documented():
    rows = status.status(observed(**STATUS_CASES["ready"][0]), {})["conditions"]
    assert all(f"| `{row['type']}` |" in PAGE for row in rows)


def manifests() -> list[dict[str, Any]]:
    """The Leaderboards of the page, in YAML blocks and in the input of commands."""
    here_document = re.compile(r"<<END\n(.*?)^END", re.MULTILINE | re.DOTALL)
    piped = [text for block in code_blocks("sh") for text in here_document.findall(block)]
    texts = [*piped, *code_blocks("yaml")]
    documents = [document for text in texts for document in yaml.safe_load_all(text)]
    return [document for document in documents if document.get("kind") == "Leaderboard"]


def test_leaderboards_of_page_are_valid():
    assert len(manifests()) == 3
    for manifest in manifests():
        assert (manifest["apiVersion"], manifest["metadata"]["name"]) == ("leaderboard.dev/v1alpha1", "arcade")
        msgspec.convert(manifest["spec"], Spec)


def test_first_leaderboard_of_page_refers_to_secret_of_dev_mongodb():
    need_programs("helm")
    (first, *_) = manifests()
    secret = of_kind(rendered({"devMongodb": {"enabled": True}}, "leaderboard"), "Secret")[0]
    ref = first["spec"]["database"]["connectionSecretRef"]
    assert ref == {"name": secret["metadata"]["name"], "key": next(iter(secret["stringData"]))}


def health(live: dict[str, Any]) -> str:
    """The result of the health check of the page, in the Lua version of Argo CD."""
    name = "resource.customizations.health.leaderboard.dev_Leaderboard"
    (script,) = (yaml.safe_load(block)["data"][name] for block in code_blocks("yaml") if name in block)
    lua = LuaRuntime()
    lua.globals().obj = lua.table_from(live, recursive=True)
    result = dict(lua.execute(script))
    assert result.get("message"), "Argo CD shows it"
    return result["status"]


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("new", "Progressing"),
        ("ready", "Healthy"),
        ("rollout", "Progressing"),
        ("scaled to zero", "Suspended"),
        ("paused", "Suspended"),
        ("secret missing at start", "Degraded"),
        ("image pull backs off", "Degraded"),
        ("owned object refused", "Degraded"),
        ("unready, in grace period", "Progressing"),
    ],
)
def test_argo_cd_health_follows_conditions(case, expected):
    state = observed(**STATUS_CASES[case][0])
    live = {
        "metadata": {"generation": state.generation},
        "spec": msgspec.to_builtins(state.leaderboard.spec),
        "status": status.status(state, {}),
    }
    assert health(live) == expected
    live["metadata"]["generation"] += 1
    assert health(live) == ("Suspended" if case == "paused" else "Progressing"), "the status is of an older spec"


def test_argo_cd_health_without_status_is_progressing():
    assert {health({"metadata": {"generation": 1}, "spec": {}, **more}) for more in ({}, {"status": {}})} == {
        "Progressing"
    }
