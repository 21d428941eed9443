"""The chart on a real control plane: install, upgrade, test, uninstall, as a platform team does it."""

from __future__ import annotations

import json
import re
import shutil
from uuid import uuid4

import pytest
import yaml

from tests.cluster.build import CLUSTER, CRDS, find
from tests.support.chart import CHART, EXAMPLES, example
from tests.support.cluster import Cluster
from tests.support.crds import delete_crds, wait_served
from tests.support.kubernetes import make_namespace, need_programs
from tests.support.operator import install_crd
from tests.support.wait import wait_until

CRD = "leaderboards.leaderboard.dev"
OPERATOR = "lb-leaderboard-operator"


@pytest.fixture(scope="module")
def cluster():
    """A cluster that knows no Leaderboards: helm owns the CustomResourceDefinition here."""
    need_programs(*CLUSTER, *CRDS)
    with Cluster() as running:
        yield running


class Release:
    """The release `lb` in a namespace."""

    def __init__(self, cluster: Cluster, namespace: str):
        self.cluster = cluster
        self.namespace = namespace

    def helm(self, command: str, *arguments: str, values: dict | None = None, check: bool = True):
        waiting = ["--wait", "--timeout=50s"] if command in ("install", "upgrade", "uninstall") else []
        given = ["--set-json", json.dumps(values)] if values is not None else []
        arguments = ("lb", *arguments, "--namespace", self.namespace, *waiting, *given)
        return self.cluster.helm(command, *arguments, check=check)

    def objects(self) -> list[str]:
        """What the release has in its namespace, but for what comes and goes by itself."""
        kinds = "deployments,statefulsets,services,roles,rolebindings,networkpolicies,poddisruptionbudgets,jobs"
        found = self.cluster.objects(f"{kinds},serviceaccounts", self.namespace)
        names = [(each["kind"], each["metadata"]["name"]) for each in found]
        return sorted(f"{kind}/{name}" for kind, name in names if name != "default")


@pytest.fixture
def namespace(cluster):
    name = f"test-{uuid4().hex[:10]}"
    make_namespace(cluster, name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def release(cluster, namespace):
    made = Release(cluster, namespace)
    yield made
    made.helm("uninstall", "--ignore-not-found")
    delete_crds(cluster, CRD)


def uid(found: dict | None) -> str:
    assert found is not None
    return found["metadata"]["uid"]


def add_leaderboard(release: Release) -> str:
    wait_served(release.cluster, CRD)
    release.cluster.apply(example("minimal"), namespace=release.namespace)
    return uid(release.cluster.get("leaderboard", "arcade", release.namespace))


def test_chart_installs_tests_upgrades_uninstalls_and_reinstalls(release):
    cluster, space = release.cluster, release.namespace
    notes = release.helm("install", str(CHART)).stdout
    assert f"kubectl --namespace {space} rollout status deployment/{OPERATOR}" in notes
    cluster.kubectl("rollout", "status", f"deployment/{OPERATOR}", "--namespace", space, "--timeout=20s")
    board = add_leaderboard(release)
    release.helm("test")

    release.helm(
        "upgrade", str(CHART), values={"operator": {"replicas": 3}, "app": {"image": {"repository": "app", "tag": "2"}}}
    )
    deployment = cluster.get("deployment", OPERATOR, space)
    assert deployment["status"]["availableReplicas"] == 3
    assert "--app-image=app:2" in deployment["spec"]["template"]["spec"]["containers"][0]["args"]

    release.helm("uninstall")
    assert release.objects() == []
    assert not cluster.objects("clusterroles,clusterrolebindings", selector="app.kubernetes.io/part-of=leaderboard")
    assert uid(cluster.get("leaderboard", "arcade", space)) == board, "Leaderboards outlive the operator"

    release.helm("install", str(CHART))
    assert uid(cluster.get("leaderboard", "arcade", space)) == board


def test_chart_upgrade_updates_the_crd_and_keeps_leaderboards(release, tmp_path):
    before = tmp_path / "leaderboard"
    shutil.copytree(CHART, before)
    crd = yaml.safe_load((before / "files" / "crd.yaml").read_text(encoding="utf-8"))
    del crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["paused"]
    (before / "files" / "crd.yaml").write_text("---\n" + yaml.safe_dump(crd, sort_keys=False))
    chart = (before / "Chart.yaml").read_text(encoding="utf-8")
    (before / "Chart.yaml").write_text(re.sub(r"(?m)^version: .*$", "version: 0.0.1", chart))

    release.helm("install", str(before))
    board = add_leaderboard(release)
    paused = {**example("minimal"), "spec": {**example("minimal")["spec"], "paused": True}}
    with pytest.raises(AssertionError, match="unknown field"):
        release.cluster.apply(paused, namespace=release.namespace)

    release.helm("upgrade", str(CHART))
    wait_until(lambda: _accepts(release, paused), 20, "the new CustomResourceDefinition is served")
    found = release.cluster.get("leaderboard", "arcade", release.namespace)
    assert (uid(found), found["spec"]["paused"]) == (board, True)


def _accepts(release: Release, board: dict) -> bool:
    manifest = json.dumps(board)
    done = release.cluster.kubectl("apply", "-f-", "-n", release.namespace, stdin=manifest, check=False)
    return done.returncode == 0


def test_chart_with_named_namespaces_needs_no_other_rights(release):
    release.helm("install", str(CHART), values={"watchNamespaces": [release.namespace]})
    assert not release.cluster.objects("clusterroles", selector="app.kubernetes.io/part-of=leaderboard")
    account = f"--as=system:serviceaccount:{release.namespace}:{OPERATOR}"
    for namespace, answer in ((release.namespace, "yes"), ("default", "no")):
        query = ("auth", "can-i", "patch", "deployments", "--namespace", namespace, account)
        assert release.cluster.kubectl(*query, check=False).stdout.strip() == answer


def test_chart_second_release_does_not_own_the_crd(release):
    release.helm("install", str(CHART), values={"watchNamespaces": [release.namespace]})
    other = Release(release.cluster, "kube-public")
    refused = other.helm("install", str(CHART), values={"watchNamespaces": ["kube-public"]}, check=False)
    assert "invalid ownership metadata" in refused.stderr
    try:
        other.helm("install", str(CHART), values={"watchNamespaces": ["kube-public"], "crds": {"install": False}})
    finally:
        other.helm("uninstall", "--ignore-not-found")
    assert release.cluster.get("crd", CRD) is not None


def test_chart_trial_database_runs_restricted_and_its_notes_work(release):
    notes = release.helm("install", str(CHART), values={"devMongodb": {"enabled": True}}).stdout
    secret = release.cluster.get("secret", "lb-leaderboard-dev-mongodb", release.namespace)
    assert secret is not None
    assert "for trials only" in notes
    manifest = re.search(r"<<END\n(.*?)\n  END", notes, re.DOTALL)[1]
    wait_served(release.cluster, CRD)
    release.cluster.apply(yaml.safe_load(manifest), namespace=release.namespace)


def test_chart_monitoring_names_missing_kinds_and_works_with_them(release):
    values = {"monitoring": {"enabled": True, "labels": {"release": "prometheus"}}}
    refused = release.helm("install", str(CHART), values=values, check=False)
    assert "monitoring.enabled needs the Prometheus operator's CRDs" in refused.stderr
    kinds = ("prometheusrules", "servicemonitors")
    crds = [f"{kind}.monitoring.coreos.com" for kind in kinds]
    release.cluster.kubectl("apply", "--server-side", *(f"--filename={find(f'{kind}.yaml')}" for kind in kinds))
    wait_served(release.cluster, *crds)
    try:
        release.helm("install", str(CHART), values={**values, "dashboards": {"enabled": True}})
        rule = release.cluster.get("prometheusrule", OPERATOR, release.namespace)
        assert rule["metadata"]["labels"]["release"] == "prometheus"
        dashboards = release.cluster.objects("configmap", release.namespace, "grafana_dashboard=1")
        assert len(dashboards) == 3
        monitor = release.cluster.get("servicemonitor", OPERATOR, release.namespace)
        service = release.cluster.get("service", OPERATOR, release.namespace)
        assert monitor["metadata"]["labels"]["release"] == "prometheus"
        assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert monitor["spec"]["endpoints"][0]["port"] in [port["name"] for port in service["spec"]["ports"]]
    finally:
        delete_crds(release.cluster, *crds)


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.yaml")))
def test_api_server_accepts_the_sample(release, name):
    install_crd(release.cluster)
    release.cluster.apply(example(name), namespace=release.namespace)
    assert release.cluster.get("lb", "arcade", release.namespace)["spec"]["database"]["deletionPolicy"] == "Retain"
