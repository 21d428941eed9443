"""The life of a Leaderboard on a real control plane, with the rights of the chart."""

from __future__ import annotations

import pytest
import yaml

from tests.support.leaderboard_views import HARDENED
from tests.support.leaderboards import TIMEOUT, Leaderboards, leaderboard, secret
from tests.support.operator import Operator
from tests.support.wait import wait_until

DEFAULT_KINDS = {"serviceaccount", "configmap", "deployment", "service", "poddisruptionbudget", "networkpolicy"}


@pytest.fixture
def arcade(leaderboards: Leaderboards, shared_operator: Operator) -> Leaderboards:
    """A namespace with a ready Leaderboard."""
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    leaderboards.wait("False", "UpToDate", "Reconciling")
    return leaderboards


def test_kubectl_prints_and_explains_leaderboard(arcade):
    kubectl, where = arcade.cluster.kubectl, ("--namespace", arcade.namespace)
    heads, row = kubectl("get", "lb", *where).stdout.splitlines()
    assert heads.split() == ["NAME", "READY", "REASON", "REPLICAS", "VERSION", "AGE"]
    assert row.split()[:4] == ["arcade", "True", "Serving", "2"]
    assert f"http://arcade.{arcade.namespace}.svc:8080" in kubectl("get", "lb", *where, "--output", "wide").stdout
    assert "leaderboard.leaderboard.dev/arcade" in kubectl("get", "all", "--output", "name", *where).stdout
    explained = " ".join(kubectl("explain", "lb.spec.database.deletionPolicy").stdout.split())
    assert "Whether the database is kept or dropped" in explained
    assert "ENUM: Delete Retain" in explained or "enum: Delete, Retain" in explained


def test_leaderboard_created_becomes_ready_with_url(arcade):
    live = arcade.get()
    status = live["status"]
    assert status["url"] == f"http://arcade.{arcade.namespace}.svc:8080"
    assert (status["replicas"], status["readyReplicas"], status["updatedReplicas"]) == (2, 2, 2)
    assert {row["type"]: row["status"] for row in status["conditions"]} == {
        "Ready": "True",
        "Reconciling": "False",
        "Stalled": "False",
        "Available": "True",
        "DatabaseReady": "True",
        "SecretsReady": "True",
        "Degraded": "False",
        "Exposed": "True",
        "UpdatePending": "False",
    }
    assert {kind for kind, _ in arcade.owned_objects()} == DEFAULT_KINDS
    assert "finalizers" not in live["metadata"]
    assert "annotations" not in live["metadata"] or not any("kopf" in name for name in live["metadata"]["annotations"])
    shown = arcade.cluster.kubectl("get", "lb", "arcade", "--namespace", arcade.namespace, "--output=wide").stdout
    assert shown.splitlines()[0].split() == ["NAME", "READY", "REASON", "REPLICAS", "VERSION", "URL", "AGE"]
    assert shown.splitlines()[1].split()[:4] == ["arcade", "True", "Serving", "2"]
    described = arcade.cluster.kubectl("describe", "lb", "arcade", "--namespace", arcade.namespace).stdout
    assert "pods accept requests" in described.partition("Events:")[2]


def test_owned_objects_deleted_are_recreated(arcade):
    before = arcade.owned_objects()
    for kind, name in before:
        arcade.delete(kind, name, "--wait=false")
    uids = {live["metadata"]["uid"] for live in before.values()}

    def recreated() -> bool:
        now = arcade.owned_objects()
        return set(now) == set(before) and not uids & {live["metadata"]["uid"] for live in now.values()}

    wait_until(recreated, TIMEOUT, "new objects of the same names")
    arcade.wait()


EDITS = {
    "deployment": {"spec": {"replicas": 7, "template": {"spec": {"serviceAccountName": "default"}}}},
    "service": {"spec": {"selector": {"app.kubernetes.io/instance": "other"}}},
    "networkpolicy": {"spec": {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "other"}}}},
    "poddisruptionbudget": {"spec": {"maxUnavailable": 2}},
    "serviceaccount": {"automountServiceAccountToken": True},
    "configmap": {"metadata": {"labels": {"app.kubernetes.io/instance": None}}},
}


@pytest.mark.parametrize("kind", sorted(EDITS))
def test_owned_object_edited_is_reverted(arcade, kind):
    def content(live: dict) -> dict:
        drop = ("managedFields", "resourceVersion", "generation", "annotations")
        meta = {name: value for name, value in live["metadata"].items() if name not in drop}
        return {**{name: value for name, value in live.items() if name != "status"}, "metadata": meta}

    name = min(name for owned, name in arcade.owned_objects() if owned == kind)  # the Service of clients
    before = content(arcade.get(kind, name))
    arcade.patch(EDITS[kind], kind, name)
    wait_until(lambda: content(arcade.get(kind, name)) == before, TIMEOUT, f"the {kind} as it was")


def test_metrics_service_with_load_balancer_stays_internal(arcade):
    arcade.patch({"spec": {"exposure": {"service": {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}}}})
    wait_until(lambda: arcade.get("service")["spec"]["type"] == "LoadBalancer", TIMEOUT, "the load balancer")
    assert [port["name"] for port in arcade.get("service")["spec"]["ports"]] == ["http"]
    metrics_service = arcade.get("service", "arcade-metrics")["spec"]
    assert (metrics_service["type"], metrics_service["clusterIP"]) == ("ClusterIP", "None")
    arcade.patch({"spec": {"exposure": {"service": {"type": "ClusterIP", "externalTrafficPolicy": None}}}})
    wait_until(lambda: arcade.get("service")["spec"]["type"] == "ClusterIP", TIMEOUT, "no load balancer")


def test_service_account_of_spec_replaces_owned_one(arcade):
    arcade.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "identity"}})
    arcade.patch({"spec": {"template": {"spec": {"serviceAccountName": "identity"}}}})
    wait_until(lambda: arcade.get("serviceaccount") is None, TIMEOUT, "no owned ServiceAccount")
    assert arcade.get("deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "identity"
    arcade.wait("False", "UpToDate", "Reconciling")


def test_pods_have_sidecar_and_volume_of_spec(arcade):
    changes = {
        "volumes": [{"name": "tls", "emptyDir": {}}],
        "volumeMounts": [{"name": "tls", "mountPath": "/etc/tls"}],
        "sidecars": [{"name": "proxy", "image": "proxy:1", "securityContext": HARDENED}],
    }
    arcade.patch({"spec": {"template": {"spec": changes}}})
    arcade.wait("True", "RollingOut", "Reconciling")
    arcade.wait("False", "UpToDate", "Reconciling")
    pod = arcade.list("pod", "leaderboard.dev/name=arcade")[0]["spec"]
    assert [container["name"] for container in pod["containers"]] == ["leaderboard", "proxy"]
    arcade.patch({"spec": {"template": {"spec": {"volumeMounts": [{"name": "no", "mountPath": "/a"}]}}}})
    assert "volumeMounts" in arcade.wait("False", "Invalid")["message"]


def test_scale_subresource_changes_number_of_pods(arcade):
    arcade.cluster.kubectl("scale", "lb/arcade", "--replicas=3", "--namespace", arcade.namespace)
    wait_until(lambda: arcade.get()["status"].get("readyReplicas") == 3, TIMEOUT, "three pods")
    arcade.cluster.kubectl("scale", "lb/arcade", "--replicas=1", "--namespace", arcade.namespace)
    wait_until(lambda: arcade.get()["status"].get("replicas") == 1, TIMEOUT, "one pod")
    wait_until(lambda: arcade.get("poddisruptionbudget") is None, TIMEOUT, "no PodDisruptionBudget")


def test_autoscaler_scales_leaderboard_and_its_replicas_are_kept(arcade):
    arcade.patch({"spec": {"autoscaling": {"minReplicas": 3, "maxReplicas": 5}}})
    wait_until(lambda: arcade.get()["spec"]["replicas"] == 3, TIMEOUT, "the autoscaler's own count")
    wait_until(lambda: arcade.get()["status"].get("readyReplicas") == 3, TIMEOUT, "three pods")
    conditions = arcade.get("horizontalpodautoscaler")["status"]["conditions"]
    assert {row["type"]: row["status"] for row in conditions}["AbleToScale"] == "True"
    arcade.patch({"spec": {"autoscaling": None}})
    wait_until(lambda: arcade.get("horizontalpodautoscaler") is None, TIMEOUT, "no autoscaler")
    assert arcade.get()["spec"]["replicas"] == 3


def test_autoscaler_without_metrics_is_reported_and_removed_at_zero(arcade):
    """The cluster has no metrics API, which the controller of the HorizontalPodAutoscaler reports."""
    metrics = [{"type": "CPU", "averageUtilization": 70}, {"type": "Sockets", "averageValue": 4000}]
    arcade.patch({"spec": {"autoscaling": {"minReplicas": 2, "maxReplicas": 5, "metrics": metrics}}})
    assert arcade.wait("False", type_="AutoscalingActive")["reason"].startswith("FailedGet")
    arcade.wait("True", "Serving")
    arcade.cluster.kubectl("scale", "lb/arcade", "--replicas=0", "--namespace", arcade.namespace)
    arcade.wait("False", "ScaledToZero", "AutoscalingActive")
    wait_until(lambda: arcade.get("horizontalpodautoscaler") is None, TIMEOUT, "no autoscaler")
    wait_until(lambda: arcade.get()["status"].get("replicas") == 0, TIMEOUT, "no pods")
    arcade.cluster.kubectl("scale", "lb/arcade", "--replicas=1", "--namespace", arcade.namespace)
    wait_until(lambda: arcade.get()["status"].get("readyReplicas") == 2, TIMEOUT, "the autoscaler's minimum")


def test_secret_rotated_restarts_pods_once(arcade):
    before = arcade.get("deployment")
    arcade.apply(secret("arcade-jwt", key="c" * 44))
    wait_until(
        lambda: arcade.get("deployment")["metadata"]["generation"] > before["metadata"]["generation"],
        TIMEOUT,
        "a rollout",
    )
    arcade.apply(secret("arcade-jwt", key="c" * 44, note="not used"))
    arcade.wait("False", "UpToDate", "Reconciling")
    assert arcade.get("deployment")["metadata"]["generation"] == before["metadata"]["generation"] + 1


def test_pods_have_logging_and_variables_of_spec(arcade):
    """The Leaderboard needs the Secret of a variable, and its change restarts the pods."""
    token = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "collector", "key": "token"}}}
    exporter = {"name": "OTEL_TRACES_EXPORTER", "value": "otlp"}
    changes = {"logging": {"access": True}, "template": {"spec": {"env": [exporter, token]}}}
    arcade.patch({"spec": changes})
    assert "'collector' does not exist" in arcade.wait("False", "SecretMissing")["message"]
    arcade.apply(secret("collector", token="a"))
    arcade.wait()
    arcade.wait("False", "UpToDate", "Reconciling")
    before = arcade.get("deployment")
    assert before["spec"]["template"]["spec"]["containers"][0]["env"][2:] == [exporter, token]
    assert "access_log: true" in arcade.settings()["data"]["settings.yaml"]
    arcade.apply(secret("collector", token="b"))
    rolled = before["metadata"]["generation"] + 1
    wait_until(lambda: arcade.get("deployment")["metadata"]["generation"] == rolled, TIMEOUT, "a rollout")


def test_settings_changed_start_rollout_and_delete_old_configmap(arcade):
    old = arcade.settings()["metadata"]["name"]
    arcade.patch({"spec": {"actions": {"maxIncrement": 7}}})
    wait_until(lambda: arcade.get("configmap", old) is None, TIMEOUT, "no old settings")
    new = arcade.settings()
    assert "max_increment: 7" in new["data"]["settings.yaml"]
    volumes = arcade.get("deployment")["spec"]["template"]["spec"]["volumes"]
    assert {"name": new["metadata"]["name"], "defaultMode": 420} in [volume.get("configMap") for volume in volumes]


def test_boards_changed_replace_no_pods(arcade):
    """The first board, another one, new bounds and a removal change the mounted ConfigMap, and nothing else."""
    before, pods = arcade.get("deployment"), {pod["metadata"]["uid"] for pod in arcade.list("pod")}
    mounts = {volume["name"]: volume.get("configMap") for volume in before["spec"]["template"]["spec"]["volumes"]}
    assert mounts["boards"] == {"name": "arcade-boards", "defaultMode": 420}
    uid = arcade.get("configmap", "arcade-boards")["metadata"]["uid"]
    kart = {"rule": "Best", "order": "Ascending"}
    best = {"rule": "best", "order": "ascending"}
    for change, expected in (
        ({"kart": kart}, {"kart": best}),
        ({"kart": {**kart, "bounds": {"min": 9}}}, {"kart": {**best, "bounds": {"min": 9}}}),
        ({"form": {}}, {"kart": {**best, "bounds": {"min": 9}}, "form": {"rule": "sum", "order": "descending"}}),
        ({"kart": None, "form": None}, {}),
    ):
        arcade.patch({"spec": {"boards": change}})
        wait_until(lambda expected=expected: boards_of(arcade) == expected, TIMEOUT, f"the boards {expected}")
        arcade.wait("False", "UpToDate", "Reconciling")
    after = arcade.get("deployment")
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"]
    assert {pod["metadata"]["uid"] for pod in arcade.list("pod")} == pods
    assert arcade.get("configmap", "arcade-boards")["metadata"]["uid"] == uid


def boards_of(leaderboards: Leaderboards) -> dict:
    """The boards in the file that the pods read."""
    return yaml.safe_load(leaderboards.get("configmap", "arcade-boards")["data"]["boards.yaml"])["boards"]


def test_paused_leaderboard_is_not_changed(arcade):
    arcade.patch({"spec": {"paused": True}})
    arcade.wait("False", "Paused", "Reconciling")
    arcade.delete("service", "arcade")
    arcade.patch({"spec": {"replicas": 5}})
    arcade.wait("False", "Paused", "Reconciling")
    assert arcade.get("service") is None
    assert arcade.get("deployment")["spec"]["replicas"] == 2
    arcade.patch({"spec": {"paused": False}})
    wait_until(lambda: arcade.get("service"), TIMEOUT, "the Service")
    wait_until(lambda: arcade.get()["status"].get("readyReplicas") == 5, TIMEOUT, "five pods")


def test_ingress_is_created_and_deleted_with_spec(arcade):
    arcade.patch({"spec": {"exposure": {"ingress": {"host": "scores.example", "tlsSecretName": "tls"}}}})
    arcade.wait("False", "NotAccepted", "Exposed")
    assert arcade.get()["status"]["url"] == f"http://arcade.{arcade.namespace}.svc:8080"
    assert arcade.get("ingress")["spec"]["rules"][0]["host"] == "scores.example"
    accepted = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}}
    arcade.patch(accepted, "ingress", "arcade", "--subresource=status")
    arcade.wait("True", "Accepted", "Exposed")
    assert arcade.get()["status"]["url"] == "https://scores.example"
    arcade.patch({"spec": {"exposure": {"ingress": None}}})
    wait_until(lambda: arcade.get("ingress") is None, TIMEOUT, "no Ingress")


def test_deletion_with_operator_deletes_all_objects(arcade):
    arcade.delete()
    wait_deleted(arcade)


def test_deletion_without_operator_deletes_all_objects(leaderboards, operator):
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    operator.close()
    leaderboards.delete()
    wait_deleted(leaderboards)


def wait_deleted(leaderboards: Leaderboards) -> None:
    wait_until(lambda: not leaderboards.owned_objects(), TIMEOUT, "no owned objects")
    pods = "app.kubernetes.io/instance=arcade"
    wait_until(lambda: not leaderboards.list("pod", pods), TIMEOUT, "no pods")
