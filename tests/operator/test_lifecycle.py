"""A Leaderboard from its creation to its end, on a real control plane, with the rights that the chart gives."""

from __future__ import annotations

import pytest

from tests.operator.boards import PATIENCE, Boards, leaderboard, secret
from tests.operator.samples import HARDENED
from tests.support.operator import Operator
from tests.support.wait import wait_until

CHILDREN = {"serviceaccount", "configmap", "deployment", "service", "poddisruptionbudget", "networkpolicy"}


@pytest.fixture
def arcade(boards: Boards, shared_operator: Operator) -> Boards:
    """A namespace with a Leaderboard that is ready."""
    boards.apply(leaderboard())
    boards.wait()
    boards.wait("False", "UpToDate", "Reconciling")
    return boards


def test_kubectl_prints_and_explains_it(arcade):
    kubectl, where = arcade.cluster.kubectl, ("--namespace", arcade.namespace)
    heads, row = kubectl("get", "lb", *where).stdout.splitlines()
    assert heads.split() == ["NAME", "READY", "REASON", "REPLICAS", "VERSION", "AGE"]
    assert row.split()[:4] == ["arcade", "True", "Serving", "2"]
    assert f"http://arcade.{arcade.namespace}.svc:8080" in kubectl("get", "lb", *where, "--output", "wide").stdout
    assert "leaderboard.leaderboard.dev/arcade" in kubectl("get", "all", "--output", "name", *where).stdout
    explained = " ".join(kubectl("explain", "lb.spec.database.deletionPolicy").stdout.split())
    assert "Whether the database is kept or dropped" in explained
    assert "ENUM: Delete Retain" in explained or "enum: Delete, Retain" in explained


def test_it_becomes_ready_and_says_where_it_is(arcade):
    live = arcade.get()
    status = live["status"]
    assert status["url"] == f"http://arcade.{arcade.namespace}.svc:8080"
    assert (status["replicas"], status["readyReplicas"], status["updatedReplicas"]) == (2, 2, 2)
    assert {each["type"]: each["status"] for each in status["conditions"]} == {
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
    assert {kind for kind, _ in arcade.children()} == CHILDREN
    assert "finalizers" not in live["metadata"]
    assert "annotations" not in live["metadata"] or not any("kopf" in name for name in live["metadata"]["annotations"])
    shown = arcade.cluster.kubectl("get", "lb", "arcade", "--namespace", arcade.namespace, "--output=wide").stdout
    assert shown.splitlines()[0].split() == ["NAME", "READY", "REASON", "REPLICAS", "VERSION", "URL", "AGE"]
    assert shown.splitlines()[1].split()[:4] == ["arcade", "True", "Serving", "2"]
    told = arcade.cluster.kubectl("describe", "lb", "arcade", "--namespace", arcade.namespace).stdout
    assert "pods accept requests" in told.partition("Events:")[2]


def test_deleted_children_come_back(arcade):
    before = arcade.children()
    for kind, name in before:
        arcade.delete(kind, name, "--wait=false")
    uids = {each["metadata"]["uid"] for each in before.values()}

    def back() -> bool:
        now = arcade.children()
        return set(now) == set(before) and not uids & {each["metadata"]["uid"] for each in now.values()}

    wait_until(back, PATIENCE, "new objects of the same names")
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
def test_an_edited_child_is_put_right(arcade, kind):
    def own(each: dict) -> dict:
        drop = ("managedFields", "resourceVersion", "generation", "annotations")
        meta = {name: value for name, value in each["metadata"].items() if name not in drop}
        return {**{name: value for name, value in each.items() if name != "status"}, "metadata": meta}

    name = min(name for each, name in arcade.children() if each == kind)  # of the two Services that of clients
    before = own(arcade.get(kind, name))
    arcade.patch(EDITS[kind], kind, name)
    wait_until(lambda: own(arcade.get(kind, name)) == before, PATIENCE, f"the {kind} as it was")


def test_service_for_scraping_stays_inside_the_cluster(arcade):
    arcade.patch({"spec": {"exposure": {"service": {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}}}})
    wait_until(lambda: arcade.get("service")["spec"]["type"] == "LoadBalancer", PATIENCE, "the load balancer")
    assert [each["name"] for each in arcade.get("service")["spec"]["ports"]] == ["http"]
    scraped = arcade.get("service", "arcade-metrics")["spec"]
    assert (scraped["type"], scraped["clusterIP"]) == ("ClusterIP", "None")
    arcade.patch({"spec": {"exposure": {"service": {"type": "ClusterIP", "externalTrafficPolicy": None}}}})
    wait_until(lambda: arcade.get("service")["spec"]["type"] == "ClusterIP", PATIENCE, "no load balancer")


def test_service_account_of_ones_own_replaces_the_operators(arcade):
    arcade.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "identity"}})
    arcade.patch({"spec": {"template": {"spec": {"serviceAccountName": "identity"}}}})
    wait_until(lambda: arcade.get("serviceaccount") is None, PATIENCE, "no ServiceAccount of the operator's")
    assert arcade.get("deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "identity"
    arcade.wait("False", "UpToDate", "Reconciling")


def test_sidecar_and_volume_reach_the_pods(arcade):
    changes = {
        "volumes": [{"name": "tls", "emptyDir": {}}],
        "volumeMounts": [{"name": "tls", "mountPath": "/etc/tls"}],
        "sidecars": [{"name": "proxy", "image": "proxy:1", "securityContext": HARDENED}],
    }
    arcade.patch({"spec": {"template": {"spec": changes}}})
    arcade.wait("True", "RollingOut", "Reconciling")
    arcade.wait("False", "UpToDate", "Reconciling")
    pod = arcade.list("pod", "leaderboard.dev/name=arcade")[0]["spec"]
    assert [each["name"] for each in pod["containers"]] == ["leaderboard", "proxy"]
    arcade.patch({"spec": {"template": {"spec": {"volumeMounts": [{"name": "no", "mountPath": "/a"}]}}}})
    assert "volumeMounts" in arcade.wait("False", "Invalid")["message"]


def test_scaling_reaches_the_pods(arcade):
    arcade.cluster.kubectl("scale", "lb/arcade", "--replicas=3", "--namespace", arcade.namespace)
    wait_until(lambda: arcade.get()["status"].get("readyReplicas") == 3, PATIENCE, "three pods")
    arcade.cluster.kubectl("scale", "lb/arcade", "--replicas=1", "--namespace", arcade.namespace)
    wait_until(lambda: arcade.get()["status"].get("replicas") == 1, PATIENCE, "one pod")
    wait_until(lambda: arcade.get("poddisruptionbudget") is None, PATIENCE, "no budget that would block a drain")


def test_an_autoscaler_scales_the_leaderboard_and_is_left_alone(arcade):
    arcade.patch({"spec": {"autoscaling": {"minReplicas": 3, "maxReplicas": 5}}})
    wait_until(lambda: arcade.get()["spec"]["replicas"] == 3, PATIENCE, "the autoscaler's own count")
    wait_until(lambda: arcade.get()["status"].get("readyReplicas") == 3, PATIENCE, "three pods")
    able = arcade.get("horizontalpodautoscaler")["status"]["conditions"]
    assert {each["type"]: each["status"] for each in able}["AbleToScale"] == "True"
    arcade.patch({"spec": {"autoscaling": None}})
    wait_until(lambda: arcade.get("horizontalpodautoscaler") is None, PATIENCE, "no autoscaler")
    assert arcade.get()["spec"]["replicas"] == 3


def test_autoscaler_that_has_no_metrics_is_reported_and_zero_is_zero(arcade):
    """The cluster has no metrics API: the HorizontalPodAutoscaler's controller says so, for CPU and for sockets."""
    metrics = [{"type": "CPU", "averageUtilization": 70}, {"type": "Sockets", "averageValue": 4000}]
    arcade.patch({"spec": {"autoscaling": {"minReplicas": 2, "maxReplicas": 5, "metrics": metrics}}})
    assert arcade.wait("False", type_="AutoscalingActive")["reason"].startswith("FailedGet")
    arcade.wait("True", "Serving")
    arcade.cluster.kubectl("scale", "lb/arcade", "--replicas=0", "--namespace", arcade.namespace)
    arcade.wait("False", "ScaledToZero", "AutoscalingActive")
    wait_until(lambda: arcade.get("horizontalpodautoscaler") is None, PATIENCE, "no autoscaler")
    wait_until(lambda: arcade.get()["status"].get("replicas") == 0, PATIENCE, "no pods")
    arcade.cluster.kubectl("scale", "lb/arcade", "--replicas=1", "--namespace", arcade.namespace)
    wait_until(lambda: arcade.get()["status"].get("readyReplicas") == 2, PATIENCE, "the autoscaler's minimum")


def test_a_rotated_secret_rolls_the_pods_once(arcade):
    before = arcade.get("deployment")
    arcade.apply(secret("arcade-jwt", key="c" * 44))
    wait_until(
        lambda: arcade.get("deployment")["metadata"]["generation"] > before["metadata"]["generation"],
        PATIENCE,
        "a roll",
    )
    arcade.apply(secret("arcade-jwt", key="c" * 44, note="not used"))
    arcade.wait("False", "UpToDate", "Reconciling")
    assert arcade.get("deployment")["metadata"]["generation"] == before["metadata"]["generation"] + 1


def test_logging_and_variables_reach_the_pods(arcade):
    """A Secret that a variable names is one that the Leaderboard needs, and rolls the pods when it changes."""
    token = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "collector", "key": "token"}}}
    exporter = {"name": "OTEL_TRACES_EXPORTER", "value": "otlp"}
    changes = {"logging": {"access": True}, "template": {"spec": {"env": [exporter, token]}}}
    arcade.patch({"spec": changes})
    assert "'collector' does not exist" in arcade.wait("False", "SecretMissing")["message"]
    arcade.apply(secret("collector", token="a"))
    arcade.wait()
    arcade.wait("False", "UpToDate", "Reconciling")
    before = arcade.get("deployment")
    assert before["spec"]["template"]["spec"]["containers"][0]["env"][1:] == [exporter, token]
    (settings,) = (name for kind, name in arcade.children() if kind == "configmap")
    assert "access_log: true" in arcade.get("configmap", settings)["data"]["settings.yaml"]
    arcade.apply(secret("collector", token="b"))
    rolled = before["metadata"]["generation"] + 1
    wait_until(lambda: arcade.get("deployment")["metadata"]["generation"] == rolled, PATIENCE, "a roll")


def test_changed_settings_are_a_rollout_and_the_old_ones_go_after_it(arcade):
    (old,) = (name for kind, name in arcade.children() if kind == "configmap")
    arcade.patch({"spec": {"actions": {"maxIncrement": 7}}})
    wait_until(lambda: arcade.get("configmap", old) is None, PATIENCE, "the old settings gone")
    (new,) = (name for kind, name in arcade.children() if kind == "configmap")
    assert "max_increment: 7" in arcade.get("configmap", new)["data"]["settings.yaml"]
    volumes = arcade.get("deployment")["spec"]["template"]["spec"]["volumes"]
    assert {"name": new, "defaultMode": 420} in [each.get("configMap") for each in volumes]


def test_paused_is_hands_off(arcade):
    arcade.patch({"spec": {"paused": True}})
    arcade.wait("False", "Paused", "Reconciling")
    arcade.delete("service", "arcade")
    arcade.patch({"spec": {"replicas": 5}})
    arcade.wait("False", "Paused", "Reconciling")
    assert arcade.get("service") is None
    assert arcade.get("deployment")["spec"]["replicas"] == 2
    arcade.patch({"spec": {"paused": False}})
    wait_until(lambda: arcade.get("service"), PATIENCE, "the Service")
    wait_until(lambda: arcade.get()["status"].get("readyReplicas") == 5, PATIENCE, "five pods")


def test_an_ingress_comes_and_goes(arcade):
    arcade.patch({"spec": {"exposure": {"ingress": {"host": "scores.example", "tlsSecretName": "tls"}}}})
    arcade.wait("False", "NotAccepted", "Exposed")
    assert arcade.get()["status"]["url"] == f"http://arcade.{arcade.namespace}.svc:8080"
    assert arcade.get("ingress")["spec"]["rules"][0]["host"] == "scores.example"
    taken = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}}
    arcade.patch(taken, "ingress", "arcade", "--subresource=status")
    arcade.wait("True", "Accepted", "Exposed")
    assert arcade.get()["status"]["url"] == "https://scores.example"
    arcade.patch({"spec": {"exposure": {"ingress": None}}})
    wait_until(lambda: arcade.get("ingress") is None, PATIENCE, "no Ingress")


def test_deletion_leaves_nothing(arcade):
    arcade.delete()
    gone(arcade)


def test_deletion_leaves_nothing_without_the_operator_either(boards, operator):
    boards.apply(leaderboard())
    boards.wait()
    operator.close()
    boards.delete()
    gone(boards)


def gone(boards: Boards) -> None:
    wait_until(lambda: not boards.children(), PATIENCE, "nothing")
    pods = "app.kubernetes.io/instance=arcade"
    wait_until(lambda: not boards.list("pod", pods), PATIENCE, "no pods")
