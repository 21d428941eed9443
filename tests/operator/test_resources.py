"""Each builder against its golden objects, and what the service itself makes of its settings.

After a change that is meant: `python -m tests.operator.test_resources` writes them anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from secrets import token_urlsafe

import pytest
import yaml

from leaderboard_operator.resources import KINDS
from leaderboard_operator.resources.drop_job import DATABASE_KEPT, drop_job
from leaderboard_operator.resources.networking import METRICS_SUFFIX, metrics_service
from leaderboard_operator.resources.secrets import MONGODB_URI, TRUSTED_CA
from tests.operator.boards import spec
from tests.operator.samples import BOARDS, PUBLIC_KEY, board
from tests.support.certificates import write_pair
from tornado_app.cli import database
from tornado_app.config import load_config

GOLDEN = Path(__file__).parent / "golden"

CASES = [(name, kind) for name in BOARDS for kind in KINDS]


def golden(name: str, kind) -> str:
    suffix = METRICS_SUFFIX if kind.build is metrics_service else ""
    return f"{name}-{kind.plural}{suffix}"


def text(name: str, kind) -> str:
    return yaml.safe_dump(kind.build(BOARDS[name]), sort_keys=True, width=120)


@pytest.mark.parametrize(("name", "kind"), CASES, ids=[golden(*case) for case in CASES])
def test_the_object_is_the_golden_one(name, kind):
    assert text(name, kind) == (GOLDEN / f"{golden(name, kind)}.yaml").read_text(encoding="utf-8")


def test_there_is_no_golden_object_too_many():
    assert {path.stem for path in GOLDEN.iterdir()} == {golden(*case) for case in CASES}


def test_every_kind_is_built_by_some_board():
    assert all(any(kind.build(each) for each in BOARDS.values()) for kind in KINDS)


@pytest.mark.parametrize("name", BOARDS)
def test_the_service_takes_its_settings(name, tmp_path):
    """The container's environment names the settings, and each is known and has a value that the service accepts."""
    (build,) = (kind.build for kind in KINDS if kind.plural == "configmaps")
    jwk = {"kty": "oct", "kid": "a", "alg": "HS256", "k": token_urlsafe(32)}
    keys = {"jwt-key": token_urlsafe(32), "proof-key": PUBLIC_KEY if name == "full" else token_urlsafe(32)}
    other = {"keys": [{**jwk, "k": token_urlsafe(32)}]}
    files = {"mongodb-uri": "mongodb://h/?replicaSet=r", "jwks.json": json.dumps({"keys": [jwk]}), **keys}
    files |= {"proof-jwks.json": json.dumps(other), "captcha-secret": "c"}
    for file, content in files.items():
        (tmp_path / file).write_text(content)
    write_pair(tmp_path / "tls.crt", tmp_path / "tls.key", serial=1)
    parts = ("leaderboard/config", "leaderboard/secrets", "tls")
    moves = [(f"/etc/{part}", str(tmp_path)) for part in parts]
    for file, content in build(BOARDS[name])["data"].items():
        for inside, here in moves:
            content = content.replace(inside, here)
        (tmp_path / file).write_text(content)
    config = load_config({}, {"LEADERBOARD_CONFIG": environment(BOARDS[name])["LEADERBOARD_CONFIG"].replace(*moves[0])})
    assert config.action_points.get("level_complete") == 50
    assert (config.port, config.metrics_port) == (8080, 8081)


def environment(board):
    """The variables of the container that have a value of their own, in the order of the container."""
    (build,) = (kind.build for kind in KINDS if kind.plural == "deployments")
    container = build(board)["spec"]["template"]["spec"]["containers"][0]
    return {each["name"]: each["value"] for each in container["env"] if "value" in each}


@pytest.mark.parametrize(("name", "scheme"), [("least", None), ("routed", "HTTPS")])
def test_only_readiness_asks_the_port_of_clients(name, scheme):
    """The metrics port opens first, so a start that waits for an index lives; full sockets cannot fail it either."""
    (build,) = (kind.build for kind in KINDS if kind.plural == "deployments")
    container = build(BOARDS[name])["spec"]["template"]["spec"]["containers"][0]
    asked = {probe: container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "readiness", "liveness")}
    assert {probe: each["port"] for probe, each in asked.items()} == {
        "startup": "metrics",
        "readiness": "http",
        "liveness": "metrics",
    }
    assert [each.get("scheme") for each in asked.values()] == [None, scheme, None]


def test_replicas_keep_to_the_autoscalers_bounds():
    scaled = {"autoscaling": {"minReplicas": 3, "maxReplicas": 5}}
    assert [board(spec(replicas=n, **scaled)).replicas for n in (0, 1, 4, 9)] == [0, 3, 4, 5]


def test_zero_replicas_with_an_autoscaler_is_no_pod_and_no_autoscaler():
    (build,) = (kind.build for kind in KINDS if kind.plural == "horizontalpodautoscalers")
    scaled = {"autoscaling": {"minReplicas": 3, "maxReplicas": 5}}
    assert build(board(spec(replicas=1, **scaled))) is not None
    zero = board(spec(replicas=0, **scaled))
    assert (build(zero), zero.replicas, zero.max_replicas) == (None, 0, None)


def test_drop_job_refers_to_nothing_that_goes_with_the_leaderboard():
    for each in BOARDS.values():
        job = drop_job(each)
        pod = job["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert "ownerReferences" not in job["metadata"]
        assert pod["automountServiceAccountToken"] is False
        assert pod.get("serviceAccountName") != each.name
        assert container["image"] == each.image
        assert {name["name"] for name in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        assert not any("configMap" in volume for volume in pod["volumes"] if volume["name"] == "config")
        (secrets,) = (volume for volume in pod["volumes"] if volume["name"] == "secrets")
        files = {
            item["path"] for each in secrets["projected"]["sources"] for item in next(iter(each.values()))["items"]
        }
        assert {MONGODB_URI} <= files <= {MONGODB_URI, TRUSTED_CA}
        labels = job["spec"]["template"]["metadata"]["labels"]
        assert not labels.items() >= each.selector.items(), "neither the Service nor the budget counts it"
        assert len(job["metadata"]["name"]) <= 63


def test_drop_job_knows_the_exit_code_of_the_service():
    assert DATABASE_KEPT == database.KEPT


@pytest.mark.parametrize(("scaling", "most"), [(None, None), ((2, 5), 5), ((5, 5), None)])
def test_an_autoscaler_without_a_choice_has_no_limit_to_be_told_of(scaling, most):
    scaled = {} if scaling is None else {"autoscaling": {"minReplicas": scaling[0], "maxReplicas": scaling[1]}}
    assert board(spec(**scaled)).max_replicas == most


def test_a_changed_setting_is_another_configmap():
    (build,) = (kind.build for kind in KINDS if kind.plural == "configmaps")
    names = {build(board(spec(live={"maxConnections": n})))["metadata"]["name"] for n in (1, 2, 2)}
    assert len(names) == 2


if __name__ == "__main__":
    for path in GOLDEN.iterdir():
        path.unlink()
    for each, one in CASES:
        (GOLDEN / f"{golden(each, one)}.yaml").write_text(text(each, one), encoding="utf-8")
