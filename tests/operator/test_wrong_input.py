"""Mistakes in resources and faults of clusters: each is reported by a condition, which ends with its cause."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import pytest
import yaml
from pymongo import MongoClient

from tests.support.leaderboards import TIMEOUT, Leaderboards, leaderboard, secret
from tests.support.wait import wait_until
from tornado_app.mongo.ownership import METADATA

pytestmark = pytest.mark.usefixtures("shared_operator")

Object = dict[str, Any]


def event_message(leaderboards: Leaderboards, reason: str) -> str:
    """Wait for the Event with this reason, and return its message."""

    def message() -> str:
        return next((event["message"] for event in leaderboards.list("event") if event["reason"] == reason), "")

    return wait_until(message, TIMEOUT, f"an Event {reason}")


def test_secret_missing_is_reported_until_created(leaderboards):
    leaderboards.delete("secret", "arcade-jwt")
    leaderboards.apply(leaderboard())
    message = leaderboards.wait("False", "SecretMissing")["message"]
    assert "'arcade-jwt' does not exist. Create it with the key 'key'" in message
    assert leaderboards.wait("False", "SecretMissing", "SecretsReady")
    assert leaderboards.wait("True", "SecretMissing", "Stalled")
    assert leaderboards.get("deployment") is None
    assert "arcade-jwt" in event_message(leaderboards, "SecretMissing")
    leaderboards.create_secrets("arcade-jwt")
    leaderboards.wait()


def test_secret_without_key_is_reported_until_added(leaderboards):
    leaderboards.apply(secret("arcade-mongo", url="mongodb://h"), leaderboard())
    message = leaderboards.wait("False", "KeyMissing")["message"]
    assert "has no key 'uri'; its keys: " in message
    assert "url" in message
    leaderboards.apply(secret("arcade-mongo", uri=""))
    leaderboards.wait("False", "KeyEmpty")
    leaderboards.create_secrets("arcade-mongo")
    leaderboards.wait()


def test_configmap_missing_is_reported_until_created(leaderboards):
    """The kubelet would wait for it without end, and report it in Events only."""
    leaderboards.apply(leaderboard(trustedCA={"configMapRef": {"name": "company-ca", "key": "ca.crt"}}))
    message = leaderboards.wait("False", "ConfigMapMissing")["message"]
    assert "'company-ca' does not exist. Create it with the key 'ca.crt'" in message
    assert leaderboards.get("deployment") is None
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "company-ca"}}
    leaderboards.apply({**config_map, "data": {"root.pem": "x"}})
    assert "its keys: root.pem" in leaderboards.wait("False", "KeyMissing")["message"]
    leaderboards.apply({**config_map, "data": {"ca.crt": "x"}})
    leaderboards.wait()


def test_secret_deleted_keeps_running_pods(leaderboards):
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    leaderboards.delete("secret", "arcade-proof")
    leaderboards.wait("False", "SecretMissing")
    assert leaderboards.wait("True", type_="Available")
    assert leaderboards.get("deployment")["status"]["readyReplicas"] == 2
    settings = leaderboards.settings()["metadata"]["name"]
    leaderboards.patch({"spec": {"live": {"maxConnections": 7}}})
    leaderboards.wait("False", "SecretMissing")
    assert leaderboards.get("configmap", settings), "the running pods still need it"
    leaderboards.create_secrets("arcade-proof")
    leaderboards.wait()


def set_pods(leaderboards: Leaderboards, container: Object, ready: str = "False") -> None:
    """Write this state into the status of all pods, as a kubelet does."""
    long_ago = "2026-01-01T00:00:00Z"
    statuses = [{"name": "leaderboard", "image": "i", "imageID": "", "restartCount": 1, "ready": False, **container}]
    conditions = [
        {"type": type_, "status": ready, "lastTransitionTime": long_ago} for type_ in ("Ready", "ContainersReady")
    ]
    body = {"status": {"startTime": long_ago, "conditions": conditions, "containerStatuses": statuses}}
    for pod in leaderboards.list("pod", "app.kubernetes.io/instance=arcade"):
        leaderboards.patch(body, "pod", pod["metadata"]["name"], "--subresource=status")


def recover(leaderboards: Leaderboards) -> None:
    set_pods(leaderboards, {"state": {"running": {}}, "ready": True}, "True")
    leaderboards.wait()
    leaderboards.wait("False", type_="Degraded")


def service_error(tmp_path: Path, uri: str, *flags: str) -> str:
    """The error of the service with this database, as a kubelet stores it."""
    (tmp_path / "uri").write_text(uri)
    for name in ("jwt", "proof"):
        (tmp_path / name).write_text(token_urlsafe(32))
    files = ["--mongodb-uri-file", "uri", "--jwt-key-file", "jwt", "--proof-key-file", "proof"]
    command = [
        str(Path(sys.executable).with_name("leaderboard")),
        "serve",
        *files,
        *flags,
        "--port=0",
        "--metrics-port=0",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    return done.stderr[-2048:]


def test_database_standalone_is_reported(leaderboards, standalone_mongod, tmp_path):
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    error = service_error(tmp_path, f"mongodb://127.0.0.1:{standalone_mongod.port}")
    set_pods(leaderboards, {"state": {"waiting": {}}, "lastState": {"terminated": {"exitCode": 1, "message": error}}})
    assert "--replSet rs0" in leaderboards.wait("False", "Standalone", "DatabaseReady")["message"]
    leaderboards.wait("False", "Standalone")
    recover(leaderboards)


def test_database_unreachable_is_reported(leaderboards, tmp_path):
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    error = service_error(tmp_path, "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200")
    set_pods(leaderboards, {"state": {"waiting": {}}, "lastState": {"terminated": {"exitCode": 1, "message": error}}})
    assert "MongoDB cannot be reached" in leaderboards.wait("False", "Unreachable", "DatabaseReady")["message"]
    recover(leaderboards)


def test_database_of_other_leaderboard_is_reported(leaderboards, mongo_database, tmp_path):
    """The service runs with the settings of this Leaderboard in the database of another one."""
    uri, name = mongo_database
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    owner = yaml.safe_load(leaderboards.settings()["data"]["settings.yaml"])["database_owner"]
    assert owner == f"{leaderboards.namespace}/arcade/{leaderboards.get()['metadata']['uid']}"
    with MongoClient(uri) as client:
        client[name][METADATA].insert_one({"_id": "owner", "namespace": "a", "name": "b", "uid": "c"})
    error = service_error(tmp_path, uri, f"--mongodb-database={name}", f"--database-owner={owner}")
    set_pods(leaderboards, {"state": {"waiting": {}}, "lastState": {"terminated": {"exitCode": 1, "message": error}}})
    message = leaderboards.wait("False", "DatabaseInUse", "DatabaseReady")["message"]
    assert "belongs to a/b, and not to" in message
    assert "spec.database.takeOverFrom" in message
    recover(leaderboards)


def test_database_lost_is_reported(leaderboards):
    """The service has started and is not ready, because it waits for its database."""
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    set_pods(leaderboards, {"state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}, "started": True})
    assert "/readyz" in leaderboards.wait("False", "NotAnswering", "DatabaseReady")["message"]
    recover(leaderboards)


def test_image_not_pulled_is_reported(leaderboards):
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    set_pods(leaderboards, {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}})
    assert "spec.imagePullSecrets" in leaderboards.wait("False", "ImageNotPulled")["message"]
    recover(leaderboards)


def test_quota_exceeded_is_reported_until_raised(leaderboards):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small"},
        "spec": {"hard": {"pods": "0"}},
    }
    leaderboards.apply(quota, leaderboard())
    assert "exceeded quota: small" in leaderboards.wait("False", "QuotaExceeded")["message"]
    leaderboards.delete("resourcequota", "small")
    leaderboards.wait()


def test_template_invalid_is_reported_until_corrected(leaderboards):
    wrong = {"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}}}
    leaderboards.apply(leaderboard(template=wrong))
    assert "nodeSelectorTerms" in leaderboards.wait("False", "Invalid")["message"]
    leaderboards.patch({"spec": {"template": None}})
    leaderboards.wait()


def test_object_of_other_owner_is_reported_and_kept(leaderboards):
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "arcade"}, "spec": {"ports": [{"port": 1}]}}
    leaderboards.apply(service, leaderboard())
    assert "Service arcade belongs to another owner" in leaderboards.wait("False", "NameTaken")["message"]
    assert leaderboards.get("service")["spec"]["ports"][0]["port"] == 1
    leaderboards.delete("service")
    leaderboards.wait()


def test_gateway_without_gateway_api_is_reported(leaderboards):
    leaderboards.apply(leaderboard(exposure={"gateway": {"parentRefs": [{"name": "public"}]}}))
    assert "CRDs are not installed" in leaderboards.wait("False", "NoGatewayApi")["message"]
    leaderboards.patch({"spec": {"exposure": {"gateway": None}}})
    leaderboards.wait()


def test_namespace_deleted_ends(leaderboards):
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    leaderboards.cluster.kubectl("delete", "namespace", leaderboards.namespace, "--timeout=50s")


def scaled(**wrong: Any) -> Object:
    return {"autoscaling": {"maxReplicas": 3, **wrong}}


REFUSED = {
    "no quantity": (scaled(metrics=[{"type": "Sockets", "averageValue": "lots"}]), "HorizontalPodAutoscaler"),
    "too little": (scaled(metrics=[{"type": "Sockets", "averageValue": 0}]), "HorizontalPodAutoscaler"),
    "another type": (scaled(behavior={"scaleDown": "quickly"}), "HorizontalPodAutoscaler"),
    "no such field": (scaled(behavior={"scaleSideways": {}}), "HorizontalPodAutoscaler"),
    "no resource": ({"template": {"spec": {"resources": {"limits": {"memory": "lots"}}}}}, "Deployment"),
    "no affinity": ({"template": {"spec": {"affinity": {"nodeAfinity": {}}}}}, "Deployment"),
    "no peer": ({"networkPolicy": {"allowFrom": [{"pods": {}}]}}, "NetworkPolicy"),
}


@pytest.mark.parametrize(("wrong", "kind"), REFUSED.values(), ids=REFUSED)
def test_object_refused_by_api_server_is_reported(leaderboards, wrong, kind):
    """Server-side apply returns a server error for some of them, which the operator must not retry as one."""
    leaderboards.apply(leaderboard(**wrong))
    assert (
        f"The API server refuses the {kind} that the spec requests" in leaderboards.wait("False", "Invalid")["message"]
    )
    leaderboards.patch({"spec": dict.fromkeys(wrong)})
    leaderboards.wait()
