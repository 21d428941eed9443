"""The builders against golden objects, and the service with the built settings.

`python -m tests.operator.test_resources` writes the golden objects.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from secrets import token_urlsafe

import pytest
import yaml

from leaderboard_operator.resources import KINDS
from leaderboard_operator.resources.configmap import boards, config_map
from leaderboard_operator.resources.drop_job import DATABASE_KEPT, drop_job
from leaderboard_operator.resources.networking import METRICS_SUFFIX, metrics_service
from leaderboard_operator.resources.secrets import MONGODB_URI, TRUSTED_CA
from tests.support.certificates import write_pair
from tests.support.leaderboard_views import PUBLIC_KEY, VIEWS, view
from tests.support.leaderboards import spec
from tornado_app.cli import database
from tornado_app.config import load_config
from tornado_app.core.boards import MAIN, Board, Bounds, Order, Rule
from tornado_app.core.periods import Cron, Every, Period

GOLDEN = Path(__file__).parent / "golden"

CASES = [(name, kind) for name in VIEWS for kind in KINDS]


SUFFIXES = {metrics_service: METRICS_SUFFIX, boards: "-boards"}


def golden(name: str, kind) -> str:
    return f"{name}-{kind.plural}{SUFFIXES.get(kind.build, '')}"


def text(name: str, kind) -> str:
    return yaml.safe_dump(kind.build(VIEWS[name]), sort_keys=True, width=120)


@pytest.mark.parametrize(("name", "kind"), CASES, ids=[golden(*case) for case in CASES])
def test_built_object_equals_golden_one(name, kind):
    assert text(name, kind) == (GOLDEN / f"{golden(name, kind)}.yaml").read_text(encoding="utf-8")


def test_golden_objects_have_no_leftovers():
    assert {path.stem for path in GOLDEN.iterdir()} == {golden(*case) for case in CASES}


def test_kinds_are_all_built():
    assert all(any(kind.build(leaderboard) for leaderboard in VIEWS.values()) for kind in KINDS)


@pytest.mark.parametrize("name", VIEWS)
def test_service_accepts_built_settings(name, tmp_path):
    """The environment of the container names the files, and the service accepts their content."""
    jwk = {"kty": "oct", "kid": "a", "alg": "HS256", "k": token_urlsafe(32)}
    keys = {"jwt-key": token_urlsafe(32), "proof-key": PUBLIC_KEY if name == "full" else token_urlsafe(32)}
    other = {"keys": [{**jwk, "k": token_urlsafe(32)}]}
    files = {"mongodb-uri": "mongodb://h/?replicaSet=r", "jwks.json": json.dumps({"keys": [jwk]}), **keys}
    files |= {"proof-jwks.json": json.dumps(other), "captcha-secret": "c"}
    for file, content in files.items():
        (tmp_path / file).write_text(content)
    write_pair(tmp_path / "tls.crt", tmp_path / "tls.key", serial=1)
    parts = ("leaderboard/config", "leaderboard/boards", "leaderboard/secrets", "tls")
    moves = [(f"/etc/{part}", str(tmp_path)) for part in parts]

    def moved(text: str) -> str:
        for inside, here in moves:
            text = text.replace(inside, here)
        return text

    for file, content in {**config_map(VIEWS[name])["data"], **boards(VIEWS[name])["data"]}.items():
        (tmp_path / file).write_text(moved(content))
    variables = ("LEADERBOARD_CONFIG", "LEADERBOARD_BOARDS_FILE")
    config = load_config({}, {variable: moved(environment(VIEWS[name])[variable]) for variable in variables})
    assert config.boards == (BOARDS if name == "full" else (MAIN,))
    assert config.action_points.get("level_complete") == 50
    assert (config.port, config.metrics_port) == (8080, 8081)


BOARDS = (
    Board(bounds=Bounds(max=500)),
    Board("form", Rule.LAST),
    Board(
        "kart",
        Rule.BEST,
        Order.ASCENDING,
        Bounds(15_000, 3_600_000),
        (
            Period("event", Every("14d", datetime.fromisoformat("2026-12-01T18:00")), 2),
            Period("season"),
            Period("weekly", Cron("0 0 * * MON", "Europe/Berlin"), review=3600.0),
        ),
        "weekly",
    ),
)
"""Those of the full Leaderboard."""


def environment(leaderboard):
    """The variables of the container that have a value."""
    (build,) = (kind.build for kind in KINDS if kind.plural == "deployments")
    container = build(leaderboard)["spec"]["template"]["spec"]["containers"][0]
    return {row["name"]: row["value"] for row in container["env"] if "value" in row}


@pytest.mark.parametrize(("name", "scheme"), [("minimal", None), ("routed", "HTTPS")])
def test_probes_except_readiness_use_metrics_port(name, scheme):
    """The metrics port opens before an index is built, and accepts connections when sockets fill the clients' port."""
    (build,) = (kind.build for kind in KINDS if kind.plural == "deployments")
    container = build(VIEWS[name])["spec"]["template"]["spec"]["containers"][0]
    probes = {probe: container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "readiness", "liveness")}
    assert {probe: target["port"] for probe, target in probes.items()} == {
        "startup": "metrics",
        "readiness": "http",
        "liveness": "metrics",
    }
    assert [target.get("scheme") for target in probes.values()] == [None, scheme, None]


def test_replicas_with_autoscaler_stay_within_bounds():
    scaled = {"autoscaling": {"minReplicas": 3, "maxReplicas": 5}}
    assert [view(spec(replicas=n, **scaled)).replicas for n in (0, 1, 4, 9)] == [0, 3, 4, 5]


def test_drop_job_refers_to_no_owned_object():
    for leaderboard in VIEWS.values():
        job = drop_job(leaderboard)
        pod = job["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert "ownerReferences" not in job["metadata"]
        assert pod["automountServiceAccountToken"] is False
        assert pod.get("serviceAccountName") != leaderboard.name
        assert container["image"] == leaderboard.image
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        assert not {"config", "boards"} & {volume["name"] for volume in pod["volumes"]}
        (secrets,) = (volume for volume in pod["volumes"] if volume["name"] == "secrets")
        files = {
            item["path"] for source in secrets["projected"]["sources"] for item in next(iter(source.values()))["items"]
        }
        assert {MONGODB_URI} <= files <= {MONGODB_URI, TRUSTED_CA}
        labels = job["spec"]["template"]["metadata"]["labels"]
        assert not labels.items() >= leaderboard.selector.items(), (
            "Services and the PodDisruptionBudget must not select it"
        )
        assert len(job["metadata"]["name"]) <= 63


def test_drop_job_exit_code_equals_that_of_command():
    assert DATABASE_KEPT == database.KEPT


@pytest.mark.parametrize(("bounds", "max_replicas"), [(None, None), ((2, 5), 5), ((5, 5), None)])
def test_max_replicas_without_range_is_none(bounds, max_replicas):
    scaled = {} if bounds is None else {"autoscaling": {"minReplicas": bounds[0], "maxReplicas": bounds[1]}}
    assert view(spec(**scaled)).max_replicas == max_replicas


def test_configmap_with_changed_setting_has_other_name():
    names = {config_map(view(spec(live={"maxConnections": n})))["metadata"]["name"] for n in (1, 2, 2)}
    assert len(names) == 2


def test_changed_boards_change_their_configmap_alone():
    before, after = view(), view(spec(boards={"kart": {"rule": "Best"}}))
    assert [kind.build for kind in KINDS if kind.build(before) != kind.build(after)] == [boards]
    assert boards(before)["metadata"] == boards(after)["metadata"]


if __name__ == "__main__":
    for path in GOLDEN.iterdir():
        path.unlink()
    for case in CASES:
        (GOLDEN / f"{golden(*case)}.yaml").write_text(text(*case), encoding="utf-8")
