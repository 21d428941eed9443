"""What the chart makes of its values, before any cluster sees it."""

from __future__ import annotations

import json
import re
import runpy
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from dashboards.__main__ import DASHBOARDS
from dashboards.__main__ import rendered as rendered_dashboard
from tests.cluster.build import KUBERNETES
from tests.helm.values import VALUES
from tests.support.chart import CHART, RBAC, example, helm, of_kind, rendered, template
from tests.support.kubernetes import need_programs
from tests.support.project import ROOT
from tornado_app import __version__

DIGEST = "sha256:" + "a" * 64


@pytest.fixture(autouse=True)
def _helm():
    need_programs("helm")


@pytest.fixture(params=VALUES, ids=lambda name: name.replace(" ", "-"))
def objects(request):
    return rendered(VALUES[request.param])


def test_helm_lint_passes():
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout


def test_objects_have_namespace_and_part_of_label(objects):
    cluster_wide = ("CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding")
    for each in objects:
        meta = each["metadata"]
        assert meta["labels"]["app.kubernetes.io/part-of"] == "leaderboard", meta
        assert ("namespace" in meta) == (each["kind"] not in cluster_wide), meta


def test_pods_are_restricted_with_a_read_only_root(objects):
    pods = [each["spec"]["template"]["spec"] for each in of_kind(objects, "Deployment", "StatefulSet", "Job")]
    assert pods
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]


def test_trial_database_probes_are_infrequent():
    """MongoDB's shell takes a second of CPU to start: it is for the start, not for every five seconds of its life."""
    (pod,) = of_kind(rendered({"devMongodb": {"enabled": True}}), "StatefulSet")
    (container,) = pod["spec"]["template"]["spec"]["containers"]
    assert [name for name in container if name.endswith("Probe") and "exec" in container[name]] == ["startupProbe"]
    assert container["readinessProbe"]["tcpSocket"] == {"port": "mongodb"}


def test_only_the_operator_mounts_a_token():
    pods = {
        each["metadata"]["name"]: each["spec"]["template"]["spec"].get("automountServiceAccountToken", True)
        for each in of_kind(rendered(VALUES["to try out"]), "Deployment", "StatefulSet", "Job")
    }
    assert [name for name, mounted in pods.items() if mounted] == ["lb-leaderboard-operator"]


def test_cluster_role_exists_only_for_all_namespaces():
    everywhere, named = of_kind(rendered({}), *RBAC), of_kind(rendered(VALUES["namespaced"]), *RBAC)
    assert {each["kind"] for each in everywhere} == set(RBAC)
    assert {each["kind"] for each in named} == {"ServiceAccount", "Role", "RoleBinding"}
    places = [(each["metadata"]["namespace"], each["metadata"]["name"]) for each in of_kind(named, "Role")]
    name = "lb-leaderboard-operator"
    assert sorted(places) == [("games", name), ("games", f"{name}-lease"), ("shop", name)]


def test_rbac_rules_have_no_wildcard_and_only_read_secrets():
    for each in of_kind(rendered({}) + rendered(VALUES["namespaced"]), "Role", "ClusterRole"):
        for rule in each["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            if "secrets" in rule["resources"]:
                assert set(rule["verbs"]) == {"get", "list", "watch"}


def test_operator_has_its_namespaces_and_image():
    (everywhere,), (named,) = (of_kind(rendered(values), "Deployment") for values in ({}, VALUES["namespaced"]))
    (container,) = everywhere["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"leaderboard-operator:{__version__}"
    expected = {"--all-namespaces", f"--app-image=leaderboard-app:{__version__}", "--log-level=info"}
    assert expected <= set(container["args"])
    (container,) = named["spec"]["template"]["spec"]["containers"]
    assert [arg for arg in container["args"] if "namespace" in arg] == ["--namespace=games", "--namespace=shop"]


def test_crd_is_kept_on_uninstall_and_optional():
    (crd,) = of_kind(rendered({}), "CustomResourceDefinition")
    assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    generated = yaml.safe_load((CHART / "files" / "crd.yaml").read_text(encoding="utf-8"))
    assert crd["spec"] == generated["spec"]
    assert not of_kind(rendered(VALUES["bare"]), "CustomResourceDefinition")


def test_disabled_objects_are_not_rendered():
    kinds = {each["kind"] for each in rendered({"networkPolicy": {"enabled": False}, "operator": {"replicas": 1}})}
    assert not kinds & {"NetworkPolicy", "PodDisruptionBudget", "PrometheusRule", "ServiceMonitor", "StatefulSet"}
    assert {"PrometheusRule", "ServiceMonitor"} <= {each["kind"] for each in rendered(VALUES["monitored"])}


def test_scraped_series_keep_the_namespace_of_their_leaderboard():
    """The Prometheus operator would put the operator's own in its place: no alert could tell two Leaderboards apart."""
    (monitor,) = of_kind(rendered(VALUES["monitored"]), "ServiceMonitor")
    assert [each["honorLabels"] for each in monitor["spec"]["endpoints"]] == [True]


def test_operator_alerts_select_this_release_and_link_to_runbooks():
    (made,) = of_kind(rendered(VALUES["monitored"]), "PrometheusRule")
    assert made["metadata"]["labels"]["release"] == "prometheus"
    generated = yaml.safe_load((CHART / "files" / "rules.yaml").read_text(encoding="utf-8"))
    assert [group["name"] for group in made["spec"]["groups"]] == [group["name"] for group in generated["groups"]]
    rules = {rule["alert"]: rule for group in made["spec"]["groups"] for rule in group["rules"]}
    absent = next(
        rule
        for group in made["spec"]["groups"]
        for rule in group["rules"]
        if rule["alert"] == "LeaderboardOperatorAbsent"
    )
    assert absent["expr"] == 'absent(leader_election_master_status{name="leaderboard",namespace="games"})'
    assert absent["annotations"]["runbook_url"] == "https://docs.example/runbooks/LeaderboardOperatorAbsent.md"
    assert absent["annotations"]["dashboard_url"] == "https://grafana.example/d/leaderboard-operator"
    assert absent["labels"] == {"severity": "ticket", "team": "games"}
    assert rules["LeaderboardUnavailable"]["labels"] == {"severity": "critical", "team": "games"}
    assert {"runbook", "dashboard"}.isdisjoint(absent["annotations"])
    assert "{{ $labels.leaderboard }}" in rules["LeaderboardNotReady"]["annotations"]["summary"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_chart_dashboard_is_the_generated_one_with_runbook_links(name):
    """After a change that is meant: `make dashboards`."""
    (made,) = (
        each
        for each in of_kind(rendered(VALUES["monitored"]), "ConfigMap")
        if each["metadata"]["name"] == f"lb-leaderboard-dashboard-{name}"
    )
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert made["metadata"]["annotations"] == {"grafana_folder": "Games"}
    linked = rendered_dashboard(name).replace('"docs/runbooks"', '"https://docs.example/runbooks"')
    linked = linked.replace('"page|critical"', '"critical"')
    assert made["data"] == {f"leaderboard-{name}.json": linked}
    assert (CHART / "files" / "dashboards" / f"{name}.json").read_text(encoding="utf-8") == rendered_dashboard(name)


def test_chart_has_exactly_the_generated_dashboards():
    files = {path.stem for path in (CHART / "files" / "dashboards").iterdir()}
    assert files == set(DASHBOARDS)
    assert not of_kind(rendered({}), "ConfigMap")


def test_operator_passes_labels_and_links_to_leaderboards():
    (deployment,) = of_kind(rendered(VALUES["monitored"]), "Deployment")
    args = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    handed_on = {
        "--monitoring-label=release=prometheus",
        "--runbook-url=https://docs.example/runbooks/",
        "--grafana-url=https://grafana.example/",
        "--severity=page=critical",
        "--severity=ticket=ticket",
        "--alert-label=team=games",
    }
    assert handed_on <= set(args)


def test_long_release_name_gives_valid_object_names():
    for each in rendered(VALUES["to try out"], release="r" * 53):
        assert len(each["metadata"]["name"]) <= 63, each["metadata"]["name"]
        for label in each["metadata"]["labels"].values():
            assert len(label) <= 63


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"operator": {"replicas": "2"}}, "/operator/replicas"),
        ({"operator": {"replicas": -1}}, "/operator/replicas"),
        ({"operator": {"replica": 3}}, "replica"),
        ({"operator": {"image": "registry.example/operator:1"}}, "/operator/image"),
        ({"operator": {"image": {"repository": "two words"}}}, "/operator/image/repository"),
        ({"operator": {"image": {"digest": "sha256:abc"}}}, "/operator/image/digest"),
        ({"operator": {"image": {"tag": "a:b"}}}, "/operator/image/tag"),
        ({"operator": {"extraArgs": ["verbose"]}}, "/operator/extraArgs/0"),
        ({"operator": {"extraEnv": [{"value": "x"}]}}, "/operator/extraEnv/0"),
        ({"operator": {"podSecurityContext": "none"}}, "/operator/podSecurityContext"),
        ({"serviceAccount": {"create": "no"}}, "/serviceAccount/create"),
        ({"commonLabels": {"team": 1}}, "/commonLabels/team"),
        ({"fullnameOverride": "Boards"}, "/fullnameOverride"),
        ({"operator": {"imagePullPolicy": "Sometimes"}}, "/operator/imagePullPolicy"),
        ({"operator": {"logLevel": "chatty"}}, "/operator/logLevel"),
        ({"app": {"image": {"tag": 7}}}, "/app/image/tag"),
        ({"watchNamespaces": "games"}, "/watchNamespaces"),
        ({"watchNamespaces": ["Games"]}, "/watchNamespaces/0"),
        ({"monitoring": {"enabled": "yes"}}, "/monitoring/enabled"),
        ({"monitoring": {"interval": "often"}}, "/monitoring/interval"),
        ({"monitoring": {"runbookUrl": "docs/runbooks"}}, "/monitoring/runbookUrl"),
        ({"monitoring": {"grafanaUrl": "grafana"}}, "/monitoring/grafanaUrl"),
        ({"monitoring": {"severities": {"pager": "critical"}}}, "pager"),
        ({"monitoring": {"severities": {"page": ""}}}, "/monitoring/severities/page"),
        ({"imagePullSecrets": [{"name": "registry"}]}, "/imagePullSecrets/0"),
        ({"devMongoDB": {"enabled": True}}, "devMongoDB"),
    ],
)
def test_invalid_value_is_refused_by_its_name(values, error):
    with pytest.raises(AssertionError, match=re.escape(error)):
        rendered(values)


def described(name: str) -> Any:
    """A module-level name of helm/describe.py, which is a script."""
    return runpy.run_path(str(CHART.parent / "describe.py"))[name]


def leaves(values: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """The paths of all values, down to what the schema leaves open."""
    if isinstance(values, dict) and values:
        for name, part in values.items():
            yield from leaves(part, *path, name)
    else:
        yield path


def test_chart_values_have_descriptions():
    """Its own, or of what it is part of, such as the resources of the operator."""
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    texts = described("comments")()
    for path in leaves(values):
        assert any(path[:depth] in texts for depth in range(1, len(path) + 1)), path


def test_chart_schema_and_readme_are_up_to_date():
    """After a change of values.yaml: `python helm/describe.py`."""
    assert described("schema")() == (CHART / "values.schema.json").read_text(encoding="utf-8")
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    assert described("readme")() == readme
    assert helm("show", "readme", str(CHART)).stdout.strip() == readme.strip()


def test_chart_values_are_in_the_schema():
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert set(values) == set(schema["properties"])
    for name, part in schema["properties"].items():
        assert set(part.get("properties", {})) == set(values[name] if "properties" in part else {}), name


@pytest.mark.parametrize(
    ("values", "image"),
    [
        ({}, f"leaderboard-operator:{__version__}"),
        ({"operator": {"image": {"tag": "2"}}}, "leaderboard-operator:2"),
        ({"operator": {"image": {"registry": "r.example"}}}, f"r.example/leaderboard-operator:{__version__}"),
        ({"operator": {"image": {"digest": DIGEST}}}, f"leaderboard-operator@{DIGEST}"),
        ({"operator": {"image": {"tag": "2", "digest": DIGEST}}}, f"leaderboard-operator:2@{DIGEST}"),
        (
            {"global": {"imageRegistry": "m.internal/x"}, "operator": {"image": {"registry": "r.example"}}},
            f"m.internal/x/leaderboard-operator:{__version__}",
        ),
    ],
)
def test_image_is_composed_of_its_parts(values, image):
    (deployment,) = of_kind(rendered(values), "Deployment")
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == image


def test_mirror_replaces_the_registry_of_every_image():
    text = template({**VALUES["marked"], "monitoring": {"enabled": False}})
    images = re.findall(r"image: \"?([^\"\n]+)|--app-image=(\S+)", text)
    found = {one or other for one, other in images}
    assert len(found) == 3
    assert {each.partition("/")[0] for each in found} == {"mirror.internal:5000"}


def test_openshift_pods_set_no_user():
    for each in of_kind(rendered(VALUES["OpenShift"]), "Deployment", "StatefulSet", "Job"):
        pod = each["spec"]["template"]["spec"]
        assert {"runAsUser", "runAsGroup", "fsGroup"}.isdisjoint(pod.get("securityContext", {}))


def test_security_context_can_be_removed_wholly_or_partly():
    taken = {"podSecurityContext": None, "securityContext": {"readOnlyRootFilesystem": None}}
    (deployment,) = of_kind(rendered({"operator": taken}), "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert "securityContext" not in pod
    assert set(pod["containers"][0]["securityContext"]) == {"allowPrivilegeEscalation", "capabilities"}


def test_labels_annotations_and_names_follow_the_values():
    objects = rendered(VALUES["marked"])
    for each in objects:
        if "helm.sh/hook" not in each["metadata"].get("annotations", {}):
            assert each["metadata"]["annotations"]["a.example/owner"] == "platform", each["kind"]
        assert each["metadata"]["labels"]["team"] == "platform"
        assert each["kind"] == "CustomResourceDefinition" or "boards" in each["metadata"]["name"]
    (deployment,) = of_kind(objects, "Deployment")
    template_ = deployment["spec"]["template"]
    assert template_["metadata"]["annotations"] == {"a.example/owner": "operators"}
    assert template_["metadata"]["labels"]["mesh"] == "no"
    assert template_["spec"]["serviceAccountName"] == "own"
    assert not of_kind(objects, "ServiceAccount")
    (container,) = template_["spec"]["containers"]
    assert container["args"][-1] == "--metrics-port=8080"
    assert container["env"] == [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}]
    assert template_["spec"]["topologySpreadConstraints"][0]["topologyKey"] == "topology.kubernetes.io/zone"
    for each in of_kind(objects, "RoleBinding", "ClusterRoleBinding"):
        assert [subject["name"] for subject in each["subjects"]] == ["own"]


def test_service_account_name_is_required_if_none_is_created():
    with pytest.raises(AssertionError, match=re.escape("set serviceAccount.name")):
        rendered({"serviceAccount": {"create": False}})


def test_user_facing_cluster_roles_include_leaderboards():
    roles = {each["metadata"]["name"]: each for each in of_kind(rendered({}), "ClusterRole")}
    view, edit = roles["games-lb-leaderboard-view"], roles["games-lb-leaderboard-edit"]
    assert {verb for rule in view["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert {"create", "update", "patch", "delete"} <= {verb for rule in edit["rules"] for verb in rule["verbs"]}
    assert "rbac.authorization.k8s.io/aggregate-to-view" not in edit["metadata"]["labels"]
    assert len(of_kind(rendered({"rbac": {"aggregateClusterRoles": False}}), "ClusterRole")) == 1


@pytest.mark.parametrize("space", ["games", "shop"])
def test_helm_test_scores_only_in_a_watched_namespace(space):
    objects = rendered({"devMongodb": {"enabled": True}, "watchNamespaces": [space]})
    assert bool(of_kind(objects, "Leaderboard")) == (space == "games")
    assert not of_kind(rendered({}), "Leaderboard")


@pytest.mark.parametrize(("versions", "works"), [((), True), (("apiregistration.k8s.io/v1",), False)])
def test_monitoring_fails_only_without_its_kinds_in_the_cluster(versions, works):
    flags = [f"--api-versions={each}" for each in versions]
    values = ["--set", "monitoring.enabled=true", "--kube-version", KUBERNETES]
    done = helm("template", "lb", str(CHART), *values, *flags)
    assert (done.returncode == 0) == works
    assert works or "Prometheus operator's CRDs" in done.stderr
    known = "--api-versions=monitoring.coreos.com/v1/ServiceMonitor"
    assert helm("template", "lb", str(CHART), *values, *flags, known).returncode == 0


def test_chart_metadata_has_images_and_a_valid_example():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    notes = {name.partition("/")[2]: text for name, text in chart["annotations"].items()}
    images = {each["image"] for each in yaml.safe_load(notes["images"])}
    assert images == {f"leaderboard-{name}:{__version__}" for name in ("app", "operator")}
    assert yaml.safe_load(notes["crdsExamples"]) == [example("minimal")]
    (crd,) = of_kind(rendered({}), "CustomResourceDefinition")
    (named,) = yaml.safe_load(notes["crds"])
    assert (named["name"], named["kind"]) == (crd["metadata"]["name"], crd["spec"]["names"]["kind"])
    assert chart["version"] == chart["appVersion"] == __version__
    kind, _, icon = chart["icon"].partition(",")
    assert (kind, b64decode(icon)) == ("data:image/svg+xml;base64", (ROOT / "tornado_app/web/icon.svg").read_bytes())


def egress(values: dict) -> list[dict]:
    (policy,) = of_kind(rendered({"networkPolicy": values}), "NetworkPolicy")
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    found: list[dict] = policy["spec"]["egress"]
    return found


def test_network_policy_limits_the_operator_to_dns_and_the_api_server():
    dns, server = egress({})
    assert {(each["port"], each["protocol"]) for each in dns["ports"]} == {(53, "UDP"), (53, "TCP")}
    assert server == {"ports": [{"port": port, "protocol": "TCP"} for port in (443, 6443, 8443, 16443)]}
    _, narrow = egress({"apiServer": {"ports": [6443], "networks": ["192.0.2.7/32"]}})
    assert narrow == {
        "ports": [{"port": 6443, "protocol": "TCP"}],
        "to": [{"ipBlock": {"cidr": "192.0.2.7/32"}}],
    }
