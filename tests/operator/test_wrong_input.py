"""What people get wrong, and what clusters do to them: each gives a condition with its cause, and mends itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import pytest
import yaml
from pymongo import MongoClient

from tests.operator.boards import PATIENCE, Boards, leaderboard, secret
from tests.support.wait import wait_until
from tornado_app.mongo.ownership import METADATA

pytestmark = pytest.mark.usefixtures("shared_operator")

Object = dict[str, Any]


def told(boards: Boards, reason: str) -> str:
    """The message of the Event with this reason."""

    def found() -> str:
        return next((each["message"] for each in boards.list("event") if each["reason"] == reason), "")

    return wait_until(found, PATIENCE, f"an Event {reason}")


def test_a_secret_that_is_missing(boards):
    boards.delete("secret", "arcade-jwt")
    boards.apply(leaderboard())
    message = boards.wait("False", "SecretMissing")["message"]
    assert "'arcade-jwt' does not exist. Create it with the key 'key'" in message
    assert boards.wait("False", "SecretMissing", "SecretsReady")
    assert boards.wait("True", "SecretMissing", "Stalled")
    assert boards.get("deployment") is None
    assert "arcade-jwt" in told(boards, "SecretMissing")
    boards.secrets("arcade-jwt")
    boards.wait()


def test_a_secret_without_the_key(boards):
    boards.apply(secret("arcade-mongo", url="mongodb://h"), leaderboard())
    message = boards.wait("False", "KeyMissing")["message"]
    assert "has no key 'uri'; its keys: " in message
    assert "url" in message
    boards.apply(secret("arcade-mongo", uri=""))
    boards.wait("False", "KeyEmpty")
    boards.secrets("arcade-mongo")
    boards.wait()


def test_config_map_of_certificates_that_is_missing_is_a_condition(boards):
    """The kubelet would wait for it for ever, and say so in Events alone."""
    boards.apply(leaderboard(trustedCA={"configMapRef": {"name": "company-ca", "key": "ca.crt"}}))
    message = boards.wait("False", "ConfigMapMissing")["message"]
    assert "'company-ca' does not exist. Create it with the key 'ca.crt'" in message
    assert boards.get("deployment") is None
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "company-ca"}}
    boards.apply({**config_map, "data": {"root.pem": "x"}})
    assert "its keys: root.pem" in boards.wait("False", "KeyMissing")["message"]
    boards.apply({**config_map, "data": {"ca.crt": "x"}})
    boards.wait()


def test_a_secret_that_goes_leaves_what_serves(boards):
    boards.apply(leaderboard())
    boards.wait()
    boards.delete("secret", "arcade-proof")
    boards.wait("False", "SecretMissing")
    assert boards.wait("True", type_="Available")
    assert boards.get("deployment")["status"]["readyReplicas"] == 2
    (settings,) = (name for kind, name in boards.children() if kind == "configmap")
    boards.patch({"spec": {"live": {"maxConnections": 7}}})
    boards.wait("False", "SecretMissing")
    assert boards.get("configmap", settings), "the pods that serve still need it"
    boards.secrets("arcade-proof")
    boards.wait()


def pretend(boards: Boards, container: Object, ready: str = "False") -> None:
    """The pods are in this state, as a kubelet would say."""
    long_ago = "2026-01-01T00:00:00Z"
    statuses = [{"name": "leaderboard", "image": "i", "imageID": "", "restartCount": 1, "ready": False, **container}]
    conditions = [
        {"type": type_, "status": ready, "lastTransitionTime": long_ago} for type_ in ("Ready", "ContainersReady")
    ]
    body = {"status": {"startTime": long_ago, "conditions": conditions, "containerStatuses": statuses}}
    for pod in boards.list("pod", "app.kubernetes.io/instance=arcade"):
        boards.patch(body, "pod", pod["metadata"]["name"], "--subresource=status")


def mended(boards: Boards) -> None:
    pretend(boards, {"state": {"running": {}}, "ready": True}, "True")
    boards.wait()
    boards.wait("False", type_="Degraded")


def ended(tmp_path: Path, uri: str, *flags: str) -> str:
    """What the service itself says of this database, as far as a kubelet keeps it."""
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


def test_a_database_that_is_standalone(boards, standalone_mongod, tmp_path):
    boards.apply(leaderboard())
    boards.wait()
    said = ended(tmp_path, f"mongodb://127.0.0.1:{standalone_mongod.port}")
    pretend(boards, {"state": {"waiting": {}}, "lastState": {"terminated": {"exitCode": 1, "message": said}}})
    assert "--replSet rs0" in boards.wait("False", "Standalone", "DatabaseReady")["message"]
    boards.wait("False", "Standalone")
    mended(boards)


def test_a_database_that_refuses(boards, tmp_path):
    boards.apply(leaderboard())
    boards.wait()
    said = ended(tmp_path, "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200")
    pretend(boards, {"state": {"waiting": {}}, "lastState": {"terminated": {"exitCode": 1, "message": said}}})
    assert "MongoDB cannot be reached" in boards.wait("False", "Unreachable", "DatabaseReady")["message"]
    mended(boards)


def test_a_database_of_another_leaderboard(boards, mongo_database, tmp_path):
    """What the service says that is started with the settings of this Leaderboard in the database of another."""
    uri, name = mongo_database
    boards.apply(leaderboard())
    boards.wait()
    (settings,) = (each for (kind, _), each in boards.children().items() if kind == "configmap")
    owner = yaml.safe_load(settings["data"]["settings.yaml"])["database_owner"]
    assert owner == f"{boards.namespace}/arcade/{boards.get()['metadata']['uid']}"
    with MongoClient(uri) as client:
        client[name][METADATA].insert_one({"_id": "owner", "namespace": "a", "name": "b", "uid": "c"})
    said = ended(tmp_path, uri, f"--mongodb-database={name}", f"--database-owner={owner}")
    pretend(boards, {"state": {"waiting": {}}, "lastState": {"terminated": {"exitCode": 1, "message": said}}})
    message = boards.wait("False", "DatabaseInUse", "DatabaseReady")["message"]
    assert "belongs to a/b, and not to" in message
    assert "spec.database.takeOverFrom" in message
    mended(boards)


def test_a_database_that_is_slow(boards):
    """The service has started, and is not ready: it waits for its database."""
    boards.apply(leaderboard())
    boards.wait()
    pretend(boards, {"state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}, "started": True})
    assert "/readyz" in boards.wait("False", "NotAnswering", "DatabaseReady")["message"]
    mended(boards)


def test_an_image_that_cannot_be_pulled(boards):
    boards.apply(leaderboard())
    boards.wait()
    pretend(boards, {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}})
    assert "spec.imagePullSecrets" in boards.wait("False", "ImageNotPulled")["message"]
    mended(boards)


def test_a_quota_that_stops_pods(boards):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small"},
        "spec": {"hard": {"pods": "0"}},
    }
    boards.apply(quota, leaderboard())
    assert "exceeded quota: small" in boards.wait("False", "QuotaExceeded")["message"]
    boards.delete("resourcequota", "small")
    boards.wait()


def test_a_template_that_kubernetes_refuses(boards):
    wrong = {"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}}}
    boards.apply(leaderboard(template=wrong))
    assert "nodeSelectorTerms" in boards.wait("False", "Invalid")["message"]
    boards.patch({"spec": {"template": None}})
    boards.wait()


def test_an_object_of_somebody_else_stays_theirs(boards):
    theirs = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "arcade"}, "spec": {"ports": [{"port": 1}]}}
    boards.apply(theirs, leaderboard())
    assert "Service arcade belongs to another owner" in boards.wait("False", "NameTaken")["message"]
    assert boards.get("service")["spec"]["ports"][0]["port"] == 1
    boards.delete("service")
    boards.wait()


def test_a_gateway_without_the_gateway_api(boards):
    boards.apply(leaderboard(exposure={"gateway": {"parentRefs": [{"name": "public"}]}}))
    assert "CRDs are not installed" in boards.wait("False", "NoGatewayApi")["message"]
    boards.patch({"spec": {"exposure": {"gateway": None}}})
    boards.wait()


def test_a_namespace_that_is_deleted(boards):
    boards.apply(leaderboard())
    boards.wait()
    boards.cluster.kubectl("delete", "namespace", boards.namespace, "--timeout=50s")


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
def test_object_that_the_api_server_refuses_is_a_condition(boards, wrong, kind):
    """Server-side apply says of some that they are errors of the server: they are none of the operator's."""
    boards.apply(leaderboard(**wrong))
    assert f"The API server refuses the {kind} that the spec requests" in boards.wait("False", "Invalid")["message"]
    boards.patch({"spec": dict.fromkeys(wrong)})
    boards.wait()
