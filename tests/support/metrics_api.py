"""A fake of the Prometheus adapter: custom.metrics.k8s.io and external.metrics.k8s.io, by aggregation.

It works by the adapter's own rules, on a real Prometheus: `seriesQuery` finds the metrics that exist, and a request
becomes the `metricsQuery` of its metric.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.support.cluster import HOST, ControlPlane
from tests.support.pki import base64_of
from tests.support.prometheus import Prometheus
from tests.support.wait import wait_until

Object = dict[str, Any]

AVAILABLE_SECONDS = 60
GROUPS = {"custom": "custom.metrics.k8s.io/v1beta2", "external": "external.metrics.k8s.io/v1beta1"}
"""The kinds of rules, and the API that serves the metrics of each."""


class NotServedError(Exception):
    """There is no such path, or no such metric."""


@contextmanager
def serving(answer: Callable[[str], str], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server on loopback whose GET is answered with what `answer` returns for the path; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            try:
                status, body = HTTPStatus.OK, answer(self.path)
            except NotServedError as error:
                status, body = HTTPStatus.NOT_FOUND, _failure(HTTPStatus.NOT_FOUND, f"no {error} here")
            self.send_response(status)
            self.send_header("Content-Type", "application/json" if body.startswith("{") else "text/plain")
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Nothing on the test's output."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


class Rule(NamedTuple):
    """A rule of the adapter's configuration."""

    series_query: str
    name: str
    labels: dict[str, str]
    """The label of each resource that is one."""
    query: str

    @classmethod
    def of(cls, written: Object) -> Rule:
        """A rule as it is written in YAML."""
        overrides = written["resources"]["overrides"]
        labels = {to["resource"]: label for label, to in overrides.items()}
        return cls(
            written["seriesQuery"], written.get("name", {}).get("matches", ".*"), labels, written["metricsQuery"]
        )

    def fill(self, series: str, matchers: list[str], group_by: str = "") -> str:
        """The query of a request."""
        values = {"Series": series, "LabelMatchers": ",".join(matchers), "GroupBy": group_by}
        return re.sub(r"<<\.(\w+)>>", lambda found: values[found[1]], self.query)


class MetricsApi:
    """Serves what the rules (`{"custom": […], "external": […]}`) make of a Prometheus; a context manager."""

    def __init__(self, cluster: ControlPlane, namespace: str, rules: Object, prometheus: Prometheus) -> None:
        self.requests: list[str] = []
        self._cluster = cluster
        self._namespace = namespace
        self._rules = {kind: [Rule.of(each) for each in rules.get(kind, ())] for kind in GROUPS}
        self._prometheus = prometheus
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            port = stack.enter_context(serving(self._answer, self._tls()))
            kinds = [kind for kind, rules in self._rules.items() if rules]
            stack.callback(self._withdraw, kinds)
            self._register(kinds, port)
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def _tls(self) -> ssl.SSLContext:
        self._cluster.authority.issue("metrics-api", "metrics-api", hosts=(f"metrics-api.{self._namespace}.svc",))
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self._cluster.folder / "metrics-api.crt", self._cluster.folder / "metrics-api.key")
        return tls

    def _register(self, kinds: list[str], port: int) -> None:
        """By a Service of an outside name: a loopback address cannot be an endpoint."""
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "metrics-api", "namespace": self._namespace},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        }
        reached = {"name": "metrics-api", "namespace": self._namespace, "port": port}
        bundle = base64_of(self._cluster.folder / "ca.crt")
        self._cluster.apply(service, *(_api_service(GROUPS[kind], reached, bundle) for kind in kinds))
        for kind in kinds:
            wait_until(lambda kind=kind: self._available(kind), AVAILABLE_SECONDS, f"the API of {kind} metrics")

    def _available(self, kind: str) -> bool:
        done = self._cluster.kubectl("get", "--raw", f"/apis/{GROUPS[kind]}", check=False)
        return done.returncode == 0

    def _withdraw(self, kinds: list[str]) -> None:
        """An aggregated API that is away would keep every namespace from being deleted."""
        names = [_api_service_name(GROUPS[kind]) for kind in kinds]
        if names:
            self._cluster.kubectl("delete", "apiservice", *names, "--ignore-not-found")

    # -- what it answers ---------------------------------------------------------------------------

    def _answer(self, path: str) -> str:
        self.requests.append(path)
        place = urlsplit(path)
        arguments = dict(parse_qsl(place.query))
        group, _, rest = unquote(place.path).removeprefix("/apis/").partition("/namespaces/")
        match rest.split("/") if rest else []:
            case [] if group in GROUPS.values():
                return json.dumps(self._resources(group))
            case [namespace, "pods", "*", metric] if group == GROUPS["custom"]:
                return json.dumps(self._of_pods(namespace, metric, arguments.get("labelSelector", "")))
            case [namespace, metric] if group == GROUPS["external"]:
                return json.dumps(self._external(namespace, metric, arguments.get("labelSelector", "")))
        raise NotServedError(path)

    def _resources(self, group: str) -> Object:
        kind = next(kind for kind, each in GROUPS.items() if each == group)
        prefix = "pods/" if kind == "custom" else ""
        found = [
            {"name": f"{prefix}{name}", "namespaced": True, "kind": "MetricValueList", "verbs": ["get"]}
            for name in self._metrics(kind)
        ]
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": found}

    def _metrics(self, kind: str) -> dict[str, Rule]:
        """The metrics that exist, each with its rule; a metric is named as its series are."""
        return {
            each["metric"]["__name__"]: rule
            for rule in self._rules[kind]
            for each in self._prometheus.query(rule.series_query)
            if re.search(rule.name, each["metric"]["__name__"])
        }

    def _rule(self, kind: str, metric: str) -> Rule:
        found = self._metrics(kind).get(metric)
        if found is None:
            raise NotServedError(f"{kind} metric {metric}")
        return found

    def _of_pods(self, namespace: str, metric: str, selector: str) -> Object:
        rule = self._rule("custom", metric)
        pods = [each["metadata"]["name"] for each in self._cluster.objects("pod", namespace, selector)]
        label = rule.labels["pod"]
        matchers = [f'{rule.labels["namespace"]}="{namespace}"', f'{label}=~"{"|".join(pods)}"']
        found = self._prometheus.query(rule.fill(metric, matchers, label))
        items = [
            {
                "describedObject": {"kind": "Pod", "namespace": namespace, "name": each["metric"][label]},
                "metric": {"name": metric},
                **_value(each),
            }
            for each in found
        ]
        return {"kind": "MetricValueList", "apiVersion": GROUPS["custom"], "metadata": {}, "items": items}

    def _external(self, namespace: str, metric: str, selector: str) -> Object:
        rule = self._rule("external", metric)
        matchers = [f'{name}="{value}"' for name, value in (each.split("=") for each in selector.split(","))]
        matchers.append(f'{rule.labels["namespace"]}="{namespace}"')
        items = [
            {"metricName": metric, "metricLabels": each["metric"], **_value(each)}
            for each in self._prometheus.query(rule.fill(metric, matchers))
        ]
        return {"kind": "ExternalMetricValueList", "apiVersion": GROUPS["external"], "metadata": {}, "items": items}


def _value(series: Object) -> Object:
    at, value = series["value"]
    time = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"timestamp": time, "value": f"{round(float(value) * 1000)}m"}


def _failure(code: HTTPStatus, message: str) -> str:
    return json.dumps(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": "NotFound",
            "code": code,
        }
    )


def _api_service(group_version: str, service: Object, bundle: str) -> Object:
    group, _, version = group_version.partition("/")
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": _api_service_name(group_version)},
        "spec": {
            "group": group,
            "version": version,
            "service": service,
            "caBundle": bundle,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    }


def _api_service_name(group_version: str) -> str:
    group, _, version = group_version.partition("/")
    return f"{version}.{group}"
