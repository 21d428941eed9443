"""docs/operator.md is in step with the code: every field, every reason, every condition, and the samples."""

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
from tests.operator.test_status import TABLE, seen
from tests.support.chart import of_kind, rendered
from tests.support.kubernetes import need_programs
from tests.support.project import ROOT

DOC = (ROOT / "docs" / "operator.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "operator" / "leaderboard_operator"


def test_the_fields_are_those_of_the_types():
    """After a change that is meant: `python -m leaderboard_operator.spec.fields_table docs/operator.md`."""
    assert with_table(DOC) == DOC


def reasons() -> set[str]:
    written = re.compile(r'(?:Problem|Explanation)\(\s*"(\w+)"')
    found = {reason for path in PACKAGE.glob("*.py") for reason in written.findall(path.read_text(encoding="utf-8"))}
    return found | pods.DATABASE_REASONS


def test_every_reason_is_told():
    told = set(re.findall(r"`(\w+)`", DOC.partition("## Conditions")[2].partition("## Fields")[0]))
    assert reasons() - told == set()
    assert len(reasons()) > 30


def test_every_condition_is_told():
    found = status.status(seen(**TABLE["all is well"][0]), {})["conditions"]
    assert all(f"| `{each['type']}` |" in DOC for each in found)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOC, re.MULTILINE | re.DOTALL)


def manifests() -> list[dict[str, Any]]:
    """Each Leaderboard that the page shows, in a block of its own or as what a command reads."""
    piped = [text for each in blocks("sh") for text in re.findall(r"<<END\n(.*?)^END", each, re.MULTILINE | re.DOTALL)]
    texts = [*piped, *blocks("yaml")]
    found = [each for text in texts for each in yaml.safe_load_all(text)]
    return [each for each in found if each.get("kind") == "Leaderboard"]


def test_each_leaderboard_of_the_page_is_a_valid_one():
    assert len(manifests()) == 3
    for each in manifests():
        assert (each["apiVersion"], each["metadata"]["name"]) == ("leaderboard.dev/v1alpha1", "arcade")
        msgspec.convert(each["spec"], Spec)


def test_the_first_one_names_the_secret_of_the_database_for_trying_out():
    need_programs("helm")
    (first, *_) = manifests()
    secret = of_kind(rendered({"devMongodb": {"enabled": True}}, "leaderboard"), "Secret")[0]
    named = first["spec"]["database"]["connectionSecretRef"]
    assert named == {"name": secret["metadata"]["name"], "key": next(iter(secret["stringData"]))}


def health(live: dict[str, Any]) -> str:
    """What the page's check says, in the version of Lua that Argo CD runs."""
    name = "resource.customizations.health.leaderboard.dev_Leaderboard"
    (script,) = (yaml.safe_load(each)["data"][name] for each in blocks("yaml") if name in each)
    lua = LuaRuntime()
    lua.globals().obj = lua.table_from(live, recursive=True)
    found = dict(lua.execute(script))
    assert found.get("message"), "Argo CD shows it"
    return found["status"]


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("nothing yet", "Progressing"),
        ("all is well", "Healthy"),
        ("a rollout", "Progressing"),
        ("to nothing", "Suspended"),
        ("paused", "Suspended"),
        ("no secret", "Degraded"),
        ("no image", "Degraded"),
        ("a child refused", "Degraded"),
        ("a pod that has just started", "Progressing"),
    ],
)
def test_argo_cd_gets_the_health_that_the_conditions_have(case, expected):
    observed = seen(**TABLE[case][0])
    live = {
        "metadata": {"generation": observed.generation},
        "spec": msgspec.to_builtins(observed.leaderboard.spec),
        "status": status.status(observed, {}),
    }
    assert health(live) == expected
    live["metadata"]["generation"] += 1
    assert health(live) == ("Suspended" if case == "paused" else "Progressing"), "it is about an older spec"


def test_argo_cd_waits_for_a_first_status():
    assert {health({"metadata": {"generation": 1}, "spec": {}, **more}) for more in ({}, {"status": {}})} == {
        "Progressing"
    }
