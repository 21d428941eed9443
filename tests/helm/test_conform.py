"""Each rendering is what the API server's own schemas, and those of the kinds of others, say it must be."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.cluster.build import find
from tests.helm.schemas import LOCATION, write_schemas
from tests.helm.values import VALUES
from tests.support.chart import CHART, EXAMPLES, rendered, template

KINDS = {
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "Job"),
    ("leaderboard.dev/v1alpha1", "Leaderboard"),
    *(("monitoring.coreos.com/v1", kind) for kind in ("PrometheusRule", "ServiceMonitor")),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy/v1", "PodDisruptionBudget"),
    *(("rbac.authorization.k8s.io/v1", f"{scope}Role{what}") for scope in ("", "Cluster") for what in ("", "Binding")),
    *(("v1", kind) for kind in ("ConfigMap", "Secret", "Service", "ServiceAccount")),
}


@pytest.fixture(scope="module")
def kubeconform(cluster, tmp_path_factory):
    """Runs kubeconform over a text; what it found, by object."""
    folder = tmp_path_factory.mktemp("schemas")
    crds = [find("prometheusrules.yaml"), find("servicemonitors.yaml"), CHART / "files" / "crd.yaml"]
    write_schemas(folder, cluster.raw("/openapi/v2"), crds, KINDS)
    command = [str(find("kubeconform")), "-strict", "-output=json", "-verbose", f"-schema-location={folder}/{LOCATION}"]

    def run(manifest: str) -> list[dict]:
        done = subprocess.run(command, input=manifest, capture_output=True, text=True, timeout=60)
        return json.loads(done.stdout)["resources"]

    return run


@pytest.mark.parametrize("values", VALUES.values(), ids=lambda values: "-".join(values) or "defaults")
def test_chart_conforms_to_the_schemas(kubeconform, values):
    found = kubeconform(template(values))
    assert len(found) == len(rendered(values))
    assert [each for each in found if each["status"] != "statusValid"] == []


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_samples_conform_to_the_schemas(kubeconform, path):
    (found,) = kubeconform(path.read_text(encoding="utf-8"))
    assert found["status"] == "statusValid", found["msg"]


def test_schema_check_finds_a_misspelt_field(kubeconform):
    manifest = template({}).replace("replicas: 2", "replica: 2").replace("maxUnavailable: 1", "maxUnavailable: [1]")
    wrong = {each["kind"]: each["msg"] for each in kubeconform(manifest) if each["status"] != "statusValid"}
    assert set(wrong) == {"Deployment", "PodDisruptionBudget"}
    assert "replica" in wrong["Deployment"]
