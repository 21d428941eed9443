"""The control plane of the operator and chart tests has the features that they rely on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import pytest

from tests.cluster.build import CLUSTER, CRDS, KUBERNETES
from tests.support.cluster import Cluster
from tests.support.embedded import alive
from tests.support.kubernetes import need_programs
from tests.support.mongod import end_with_parent
from tests.support.wait import wait_until

POD = {"securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}}
CONTAINER = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def deployment(name, replicas=2, **pod):
    labels = {"app": name}
    container = {"name": "main", "image": "nothing:1", "securityContext": CONTAINER}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {**POD, "containers": [container], **pod}},
        },
    }


def test_cluster_reports_the_version_that_go_mod_pins(cluster):
    assert cluster.raw("/version")["gitVersion"] == f"v{KUBERNETES}"


def test_deployment_becomes_available_and_is_deleted_with_its_objects(cluster, namespace):
    cluster.apply(deployment("web"), namespace=namespace)
    cluster.kubectl("wait", "--for=condition=Available", "deployment/web", "-n", namespace, "--timeout=30s")
    assert len(cluster.objects("pods", namespace, "app=web")) == 2
    cluster.kubectl("delete", "deployment", "web", "-n", namespace)
    wait_until(lambda: not cluster.objects("pods", namespace, "app=web"), 30, "the pods are gone")


def test_pod_security_refuses_a_pod_that_is_not_restricted(cluster, namespace):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "rude"}}
    with pytest.raises(AssertionError, match="violates PodSecurity"):
        cluster.apply(pod | {"spec": {"containers": [{"name": "main", "image": "nothing:1"}]}}, namespace=namespace)


def test_service_account_is_limited_to_its_role_and_audited(cluster, namespace):
    rules = {"rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}]}
    binding = {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "writer"},
        "subjects": [{"kind": "ServiceAccount", "name": "writer", "namespace": namespace}],
    }
    rbac = "rbac.authorization.k8s.io/v1"
    cluster.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "writer"}},
        {"apiVersion": rbac, "kind": "Role", "metadata": {"name": "writer"}, **rules},
        {"apiVersion": rbac, "kind": "RoleBinding", "metadata": {"name": "writer"}, **binding},
        namespace=namespace,
    )
    writer, mark = cluster.kubeconfig_of("writer", namespace), cluster.audit_mark()
    cluster.kubectl("create", "configmap", "mine", kubeconfig=writer)
    refused = cluster.kubectl("delete", "configmap", "mine", kubeconfig=writer, check=False)
    assert "Forbidden" in refused.stderr
    ours = [each for each in cluster.audited(mark) if each["user"]["username"].endswith(f"{namespace}:writer")]
    written = [(each["verb"], each["responseStatus"]["code"]) for each in ours if each["verb"] in ("create", "delete")]
    assert written == [("create", 201), ("delete", 403)]


def test_cluster_programs_can_be_stopped_and_restarted(own_cluster):
    own_cluster.apiserver.kill()
    own_cluster.apiserver.start()
    own_cluster.controllers.terminate()
    own_cluster.controllers.start()
    own_cluster.apply(deployment("web"), namespace="default")
    wait_until(lambda: len(own_cluster.objects("pods", "default")) == 2, 30, "the pods of a new Deployment")


KEEPER = """
import time
from tests.support.cluster import Cluster

with Cluster() as cluster:
    print(cluster.folder, *(each.process.pid for each in cluster.programs), flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_cluster_of_a_killed_owner_leaves_nothing():
    need_programs(*CLUSTER, *CRDS)
    command = [sys.executable, "-c", KEEPER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=end_with_parent) as owner:
        assert owner.stdout is not None
        folder, *pids = owner.stdout.readline().split()
        assert len(pids) == 5
        os.kill(owner.pid, signal.SIGKILL)
    wait_until(lambda: not any(alive(int(pid)) for pid in pids), 20, "the programs are gone")
    shutil.rmtree(folder)


def test_cluster_with_a_failed_start_leaves_nothing(monkeypatch, cluster):
    made = []
    monkeypatch.setattr(Cluster, "apply", lambda self, *_: made.append(self) or 1 / 0)
    with pytest.raises(ZeroDivisionError), Cluster():
        raise AssertionError("it started")
    assert all(each.process is None for each in made[0].programs)
    assert not made[0].folder.exists()
