"""The CustomResourceDefinition: generated, small, bounded, and enforced by the API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from leaderboard_operator.spec import application
from leaderboard_operator.spec.crd import crd as build_crd
from leaderboard_operator.spec.crd import crd_yaml
from tests.support.chart import CHART, example
from tests.support.leaderboards import TIMEOUT, Leaderboards, leaderboard
from tests.support.operator import install_crd
from tests.support.wait import wait_until
from tornado_app.core import boards, periods

MAX_BYTES = 200_000
"""`kubectl apply` writes the object into an annotation of at most 256 KiB."""


def test_committed_crd_equals_generated_one():
    """To update it: `leaderboard-operator crd > helm/leaderboard/files/crd.yaml`."""
    assert (CHART / "files" / "crd.yaml").read_text(encoding="utf-8") == crd_yaml()


def test_crd_yaml_has_no_anchors():
    assert not [token for token in yaml.scan(crd_yaml()) if isinstance(token, yaml.AnchorToken | yaml.AliasToken)]


def test_crd_yaml_fits_into_annotation():
    assert len(crd_yaml()) < MAX_BYTES


def nodes(schema: dict[str, Any], path: str = "spec") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(field, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            yield from nodes(schema[name], f"{path}[]")


SCHEMA = build_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]


@pytest.mark.parametrize(
    ("path", "schema"), list(nodes(SCHEMA)), ids=lambda part: part if isinstance(part, str) else ""
)
def test_crd_field_is_bounded_and_described(path, schema):
    kind = schema.get("type")
    if kind == "string":
        assert "maxLength" in schema or "enum" in schema
    if kind == "array":
        assert "maxItems" in schema
    if kind == "integer":
        assert {"minimum", "maximum"} <= set(schema)
    if "additionalProperties" in schema:
        assert "maxProperties" in schema
    if not path.endswith("[]"):
        assert schema["description"].strip().endswith((".", "…)."))
    for rule in schema.get("x-kubernetes-validations", []):
        assert rule["message"]


PROOF = {"proofKeySecretRef": {"name": "a", "key": "b"}}
JWT = {"secretRef": {"name": "a", "key": "b"}}


def period(name: str = "weekly", **members: Any) -> dict[str, Any]:
    """A board with a period."""
    return {"boards": {"kart": {"periods": {name: members}}}}


def env(*variables: dict[str, Any]) -> dict[str, Any]:
    return {"template": {"spec": {"env": list(variables)}}}


def scaled(*metrics: dict[str, Any]) -> dict[str, Any]:
    return {"autoscaling": {"maxReplicas": 3, "metrics": list(metrics)}}


INVALID = [
    ({"actions": {}}, "set proofKeySecretRef to the key"),
    ({"actions": {"proof": "Sometimes", **PROOF}}, "Unsupported value"),
    ({"actions": {**PROOF, "points": {"a b": 1}}}, "an action type is 1 to 64 of"),
    ({"actions": {**PROOF, "points": {"a": 0}}}, "greater than or equal to 1"),
    ({"actions": {**PROOF, "maxIncrement": 0}}, "greater than or equal to 1"),
    ({"auth": {"jwt": {}}}, "set exactly one of secretRef, jwksUrl and jwksSecretRef"),
    ({"auth": {"jwt": {**JWT, "jwksUrl": "https://a.example"}}}, "set exactly one of"),
    ({"auth": {"jwt": {"jwksUrl": "http://a.example/keys"}}}, "should match"),
    ({"auth": {"jwt": {**JWT, "algorithm": "none"}}}, "Unsupported value"),
    ({"database": {"connectionSecretRef": {"name": "a", "key": "b"}, "name": "admin"}}, "MongoDB reserves that name"),
    ({"database": {"connectionSecretRef": {"name": "a", "key": "b"}, "name": "a b"}}, "should match"),
    ({"database": {"connectionSecretRef": {"name": "A!", "key": "b"}, "name": "a"}}, "should match"),
    ({"replicas": -1}, "greater than or equal to 0"),
    ({"replicas": 101}, "less than or equal to 100"),
    ({"rateLimit": {"updates": 10, "window": "ten"}}, "should match"),
    ({"rateLimit": {"updates": 10, "window": "25h"}}, "set a duration from 10ms to 24h"),
    ({"rateLimit": {"updates": 1000, "window": "1s"}}, "set fewer updates or a longer window"),
    ({"live": {"broadcastInterval": "1ms"}}, "set a duration from 10ms to 60s"),
    ({"live": {"allowedOrigins": ["*", "https://a.example"]}}, "'*' must be the only origin"),
    ({"live": {"allowedOrigins": ["a.example"]}}, "should match"),
    ({"live": {"allowedOrigins": ["https://a.*.example"]}}, "should match"),
    ({"autoscaling": {"minReplicas": 5, "maxReplicas": 3}}, "minReplicas is more than maxReplicas"),
    ({"autoscaling": {}}, "Required value"),
    (scaled({"type": "CPU"}), "CPU needs averageUtilization or averageValue"),
    (scaled({"type": "Sockets", "averageUtilization": 5}), "Sockets needs averageValue"),
    (scaled({"type": "CPU", "averageValue": "1", "api": "External"}), "api applies to Sockets only"),
    (scaled(*[{"type": "CPU", "averageValue": "1"}] * 2), "Duplicate value"),
    ({"exposure": {"gateway": {"requestTimeout": "soon"}}}, "should match"),
    ({"exposure": {"ingress": {"host": "a"}, "gateway": {"parentRefs": [{"name": "g"}]}}}, "either ingress or gateway"),
    ({"exposure": {"service": {"type": "ExternalName"}}}, "Unsupported value"),
    ({"image": "a b"}, "should match"),
    ({"disruption": {"maxUnavailable": 0}}, "greater than or equal to 1"),
    ({"monitoring": {"slo": {"availability": "all"}}}, "should match"),
    ({"monitoring": {"slo": {"availability": "94.9"}}}, "set a percentage from 95 to 99.9999"),
    ({"monitoring": {"slo": {"latency": "300ms"}}}, "Unsupported value"),
    ({"logging": {"level": "chatty"}}, "Unsupported value"),
    (env({"name": "LEADERBOARD_PORT", "value": "1"}), "settings of the service are fields of spec"),
    (env({"name": "A"}), "set either value or valueFrom"),
    (env({"name": "A", "value": "", "valueFrom": {"fieldRef": {"fieldPath": "a"}}}), "set either value or valueFrom"),
    (env({"name": "A", "valueFrom": {}}), "set exactly one of secretKeyRef, configMapKeyRef and fieldRef"),
    (env({"name": "A", "value": "1"}, {"name": "A", "value": "2"}), "Duplicate value"),
    (env({"name": "1A", "value": "1"}), "should match"),
    (env(*({"name": f"A{n}", "value": "1"} for n in range(33))), "must have at most 32 items"),
    ({"boards": {"kart": {"rule": "best"}}}, "Unsupported value"),
    ({"boards": {"kart": {"order": "Up"}}}, "Unsupported value"),
    ({"boards": {"kart": {"shows": "weekly"}}}, "shows must be the name of a period"),
    (period(name="Weekly"), "up to 16 of a-z 0-9"),
    (period(name="all"), "a period cannot have the name all"),
    ({"boards": {"kart": {"periods": {name: {} for name in "abcd"}}}}, "must have at most 3 items"),
    (period(cron="0 0 * *"), "should match"),
    (period(cron="0 0 * * *", every="1d", **{"from": "2026-12-01T18:00"}), "cron and every exclude each other"),
    (period(every="14d"), "set both every and from"),
    (period(**{"from": "2026-12-01T18:00"}), "set both every and from"),
    (period(every="1y", **{"from": "2026-12-01T18:00"}), "should match"),
    (period(every="1d", **{"from": "2026-12-01"}), "should match"),
    (period(every="1d", **{"from": "2100-01-01T00:00"}), "should match"),
    (period(timeZone="Asia/Tokyo"), "timeZone has no effect without cron or every"),
    (period(cron="0 0 * * *", timeZone="../x"), "should match"),
    (period(keep=0), "greater than or equal to 1"),
    (period(review="721h"), "set a duration from 0s to 720h"),
    ({"boards": {"kart": {"bounds": {}}}}, "set min, max or both"),
    ({"boards": {"kart": {"rule": "Best", "bounds": {"min": 2, "max": 1}}}}, "min is greater than max"),
    ({"boards": {"kart": {"bounds": {"max": 0}}}}, "points are 1 or more"),
    ({"boards": {"kart": {"bounds": {"max": 2**53}}}}, "less than or equal to"),
    *(({"boards": {name: {}}}, "up to 32 of a-z 0-9 -") for name in ("Kart", "7up", "kart_cup", "-", "", "a" * 33)),
    ({"boards": {f"b{n}": {} for n in range(100)}}, "more than 100 boards with main"),
    ({"boards": {f"b{n}": {} for n in range(101)}}, "must have at most 100 items"),
    ({"databse": {}}, "unknown field"),
    ({"settings": {"max_connectons_per_address": 1}}, "unknown field"),
    ({"settings": {"max_connections": 5}}, "max_connections has its own field; set spec.live.maxConnections"),
    ({"settings": {"boards_file": "/etc/boards.yaml"}}, "boards_file has its own field; set spec.boards"),
    ({"settings": {"port": 80}}, "the operator sets port; leave it out"),
    ({"settings": {"jwt_key": "a"}}, "jwt_key is secret; store it in a Secret"),
    ({"settings": {"max_connections_per_address": 0}}, "greater than or equal to 1"),
    ({"settings": {"auto_register": "maybe"}}, "must be of type boolean"),
    ({"settings": {"jwt_leeway": "2m"}}, "set a duration from 0s to 60s"),
    ({"settings": {"jwt_leeway": "soon"}}, "should match"),
    ({"settings": {"processes": "many"}}, "should match"),
    ({"settings": {"auth_failure_limit": "60"}}, "should match"),
    ({"settings": {"tls_cert_file": "tls.crt"}}, "should match"),
    ({"actions": {**PROOF, "proofJwksSecretRef": {"name": "a", "key": "b"}}}, "set only one of proofKeySecretRef"),
    ({"actions": {**PROOF, "captcha": {"url": "https://a.example"}}}, "Required value"),
    ({"trustedCA": {}}, "set exactly one of secretRef and configMapRef"),
    ({"rollout": {"maxSurge": 0}}, "maxSurge and maxUnavailable are both 0"),
    ({"rollout": {"maxSurge": "0%", "maxUnavailable": "0%"}}, "maxSurge and maxUnavailable are both 0"),
    ({"template": {"spec": {"terminationGracePeriodSeconds": 5}}}, "greater than or equal to 25"),
    ({"template": {"spec": {"readinessProbe": {"failureThreshold": 0}}}}, "greater than or equal to 1"),
    ({"exposure": {"service": {"loadBalancerClass": "a"}}}, "need type LoadBalancer"),
    ({"exposure": {"service": {"externalTrafficPolicy": "Local"}}}, "needs type LoadBalancer or NodePort"),
]


@pytest.fixture(scope="module")
def refusal(crd):
    def apply(body: dict[str, Any]) -> str:
        flags = ("--dry-run=server", "--validate=strict", "--filename=-")
        done = crd.kubectl("apply", *flags, stdin=json.dumps(body), check=False)
        return "" if done.returncode == 0 else done.stderr

    return apply


@pytest.mark.parametrize(("change", "message"), INVALID, ids=lambda part: part if isinstance(part, str) else "")
def test_crd_with_invalid_spec_is_refused_with_remedy(refusal, change, message):
    assert message in refusal(leaderboard(**change))


@pytest.mark.parametrize("name", ["a" * 53, "1st", "a.b"])
def test_crd_with_invalid_name_is_refused(refusal, name):
    assert "choose a name of at most 52" in refusal(leaderboard(name))


@pytest.mark.parametrize("name", ["minimal", "production"])
def test_crd_accepts_example(refusal, name):
    assert not refusal(example(name))


def test_crd_with_changed_database_is_refused(leaderboards: Leaderboards):
    leaderboards.apply(leaderboard())
    with pytest.raises(AssertionError, match="the database of a Leaderboard cannot change"):
        leaderboards.patch({"spec": {"database": {"name": "other"}}})


NINETY_NINE = {
    f"b{n}": {
        "rule": "Best",
        "bounds": {"min": -(2**53) + 1},
        "periods": {
            "weekly": {"cron": "0 0 * * MON", "timeZone": "America/Argentina/ComodRivadavia", "review": "1h"},
            "event": {"every": "14d", "from": "2026-12-01T18:00", "keep": 1000},
            "season": {},
        },
        "shows": "event",
    }
    for n in range(99)
}


def test_crd_accepts_a_hundred_boards_with_main(refusal):
    assert not refusal(leaderboard(boards=NINETY_NINE))
    assert not refusal(leaderboard(boards={**NINETY_NINE, "main": {"rule": "Last"}}))


BOARDS = {"kart": {"rule": "Best", "order": "Ascending"}, "form": {"rule": "Last"}}
MAIN_CHANGED = "rule and order of the board main cannot change"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (BOARDS, {"kart": {"rule": "Last"}}, "rule and order of a board cannot change"),
        (BOARDS, {"kart": {"order": "Descending"}}, "rule and order of a board cannot change"),
        ({"main": {"rule": "Best"}}, {"main": {"rule": "Last"}}, "rule and order of a board cannot change"),
        ({}, {"main": {"rule": "Best"}}, MAIN_CHANGED),
        ({}, {"main": {"order": "Ascending"}}, MAIN_CHANGED),
        ({"main": {"rule": "Best"}}, {"main": None}, MAIN_CHANGED),
        (BOARDS, {"kart": None}, ""),
        (BOARDS, {"main": {"bounds": {"max": 5}}}, ""),
        ({"main": {}}, {"main": None}, ""),
        (BOARDS, {"kart": {"bounds": {"min": 5}}, "more": {"rule": "Last"}}, ""),
    ],
)
def test_crd_with_changed_rule_or_order_is_refused(leaderboards: Leaderboards, before, after, message):
    leaderboards.apply(leaderboard(boards=before))
    change = {"spec": {"boards": after}}
    if message:
        with pytest.raises(AssertionError, match=message):
            leaderboards.patch(change)
    else:
        leaderboards.patch(change)


def test_crd_update_lets_a_boards_file_move_to_the_spec(leaderboards: Leaderboards):
    """A resource from before `spec.boards` keeps the setting, and may change otherwise; its status may be written."""
    old = build_crd()
    validations = old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"][
        "settings"
    ]
    rules = validations["x-kubernetes-validations"]
    validations["x-kubernetes-validations"] = [each for each in rules if "boards_file" not in each["rule"]]
    leaderboards.cluster.apply(old)
    try:
        with_file = leaderboard(settings={"boards_file": "/etc/boards.yaml"})
        wait_until(lambda: applies(leaderboards, with_file), TIMEOUT, "the CRD without the rule")
    finally:
        install_crd(leaderboards.cluster)
    other = leaderboard("other", settings={"boards_file": "/etc/boards.yaml"})
    wait_until(lambda: not applies(leaderboards, other, "--dry-run=server"), TIMEOUT, "the CRD with the rule")
    leaderboards.patch({"spec": {"replicas": 3}})
    leaderboards.patch({"status": {"observedGeneration": 1}}, "leaderboard", "arcade", "--subresource=status")
    leaderboards.patch({"spec": {"settings": {"boards_file": None}, "boards": {"main": {"rule": "Best"}}}})


def applies(leaderboards: Leaderboards, body: dict[str, Any], *flags: str) -> bool:
    where = ("--namespace", leaderboards.namespace)
    return (
        leaderboards.cluster.kubectl(
            "apply", "--filename=-", *where, *flags, stdin=json.dumps(body), check=False
        ).returncode
        == 0
    )


def test_boards_are_bounded_as_in_the_service():
    assert (application.NAME_PATTERN, application.MAX_BOARDS) == (boards.NAME_PATTERN, boards.MAX_BOARDS)
    assert (application.PERIOD_PATTERN, application.MAX_PERIODS) == (periods.PERIOD_PATTERN, periods.MAX_PERIODS)
    assert application.ALL_TIME == boards.ALL_TIME


def test_crd_defaults_are_applied(leaderboards: Leaderboards):
    leaderboards.apply(leaderboard())
    spec = leaderboards.get()["spec"]
    assert (spec["replicas"], spec["actions"]["proof"], spec["live"]["maxConnections"]) == (2, "Required", 20_000)
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 35
