"""What the dashboards show in the tests: two pods of a Leaderboard under a load, an operator, and a Prometheus.

Series get the labels that the ServiceMonitors give them, so the dashboards see what they would see in a cluster.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml
from websockets.sync.client import connect

from leaderboard_operator.resources.monitoring import prometheus_rule
from tests.support.cluster import Cluster
from tests.support.frontends import WRITES
from tests.support.kubernetes import make_namespace
from tests.support.leaderboard_views import view
from tests.support.leaderboards import Leaderboards, leaderboard
from tests.support.mongod import ReplicaSet
from tests.support.operator import Installation, Operator, install_crd
from tests.support.prometheus import Prometheus
from tests.support.service import RunningService, token
from tests.support.wait import wait_until

ROOT = Path(__file__).parents[2]
GAMES, SYSTEM = "games", "leaderboard-system"
LEADERBOARD = "arcade"
PODS = ("arcade-5c9f7d-k2x8p", "arcade-5c9f7d-w7q4m")
SOCKETS = ("/ws/scoreboard", "/ws/score", "/ws/leaderboard")
PLAYERS = 600
BUSY, PAUSE = 12, 0.4
"""Who plays at a time, and their seconds between two requests; enough to fail often when the database hangs."""

Object = dict[str, Any]


class Environment(NamedTuple):
    """All that runs; `database` may be frozen."""

    database: ReplicaSet
    prometheus: Prometheus


@contextmanager
def run_environment(cluster: Cluster, database: ReplicaSet, folder: Path) -> Iterator[Environment]:
    """Start everything, and keep players busy until the end."""
    with ExitStack() as stack:
        arcade, quiz = _leaderboards()
        operator = _operator(stack, cluster, folder, arcade, quiz)
        pods = [RunningService(uri=database.uri, database="arcade") for _ in PODS]
        for name, pod in zip(PODS, pods, strict=True):
            stack.callback(pod.close)
            pod.start(folder / f"{name}.log")
        targets = [
            _target(pod.metrics_url, name, GAMES, leaderboard=LEADERBOARD) for name, pod in zip(PODS, pods, strict=True)
        ]
        targets.append(_target(operator.url, "leaderboard-operator-0", SYSTEM))
        scrapes = [{"job_name": "leaderboard", "honor_labels": True, "static_configs": targets}]
        rules = [_rules(each, folder) for each in (arcade, quiz)] + [ROOT / "helm/leaderboard/files/rules.yaml"]
        prometheus = stack.enter_context(Prometheus(folder / "prometheus", scrapes, rules))
        stack.enter_context(Load(pods))
        yield Environment(database, prometheus)


def _leaderboards() -> tuple[Object, Object]:
    """A Leaderboard, and one whose Secrets are missing."""
    slow = {"latency": "5s", "propagation": "5s"}  # a busy machine breaks no objective of these tests
    broken = leaderboard("quiz", monitoring={"slo": slow})
    broken["spec"]["database"] = {"connectionSecretRef": {"name": "quiz-mongo", "key": "uri"}, "name": "quiz"}
    return leaderboard(LEADERBOARD, monitoring={"slo": slow}), broken


def _rules(resource: Object, folder: Path) -> Path:
    """A file of the rules that the operator makes a PrometheusRule of."""
    name = resource["metadata"]["name"]
    made = prometheus_rule(view(resource["spec"], namespace=GAMES, name=name))
    assert made is not None
    path = folder / f"{name}.rules.yaml"
    path.write_text(yaml.safe_dump(made["spec"]), encoding="utf-8")
    return path


def _operator(stack: ExitStack, cluster: Cluster, folder: Path, whole: Object, broken: Object) -> Operator:
    """An operator with both Leaderboards, one of which it brings about."""
    for name in (GAMES, SYSTEM):
        make_namespace(cluster, name)
        stack.callback(cluster.kubectl, "delete", "namespace", name, "--wait=false")
    install_crd(cluster)
    leaderboards = Leaderboards(cluster, GAMES)
    stack.callback(leaderboards.reader.close)
    leaderboards.create_secrets()
    installed = stack.enter_context(Installation(cluster, SYSTEM))
    operator = Operator(installed, folder / "operator.log")
    stack.callback(operator.close)
    operator.start()
    leaderboards.apply(whole, broken)
    leaderboards.wait(name=LEADERBOARD)
    return operator


def _target(url: str, pod: str, namespace: str, **labels: str) -> Object:
    return {"targets": [urlsplit(url).netloc], "labels": {"pod": pod, "namespace": namespace, **labels}}


class Load:
    """Players on some pods, and pages that watch; a context manager. Some of what they send is refused."""

    def __init__(self, pods: list[RunningService]) -> None:
        self._pods = pods
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._play, args=(number,)) for number in range(BUSY)]
        self._threads += [
            threading.Thread(target=self._watch, args=(pod, path)) for pod in pods for path in SOCKETS * 4
        ]

    def __enter__(self) -> Load:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for each in self._threads:
            each.join(60)
            assert not each.is_alive()

    def _play(self, number: int) -> None:
        turn = 0
        while not self._over.wait(PAUSE):
            turn += 1
            pod = self._pods[turn % len(self._pods)]
            user = f"player-{(turn * (number + 1)) % PLAYERS}"
            form = WRITES[turn % len(WRITES)]
            pod.call(form.method, form.path, form.body(user), token=token(user))
            if turn % 5 == 0:
                pod.get("/api/leaderboard")
            if turn % 40 == 0:
                pod.post("/api/score", {"score": 1}, token=token("cheat"), headers={"Action-Proof": "no.proof.at-all"})
            if turn % 60 == 0:
                pod.post("/api/score", {"score": 1}, token="no token")

    def _watch(self, pod: RunningService, path: str) -> None:
        with connect(pod.ws_url + path, ping_interval=None) as socket:
            while not self._over.is_set():
                try:
                    socket.recv(timeout=0.5)
                except TimeoutError:
                    continue


def wait_for_samples(prometheus: Prometheus, seconds: int) -> None:
    """Wait until both pods have been seen for so long."""
    seen = f"count(leaderboard_build_info offset {seconds}s) == {len(PODS)}"
    wait_until(lambda: prometheus.query(seen), seconds + 60, f"{seconds} s of samples")


def wait_for_alert(prometheus: Prometheus, name: str) -> None:
    """Wait until an alert fires."""
    firing = f'ALERTS{{alertname="{name}", alertstate="firing"}}'
    wait_until(lambda: prometheus.query(firing), 120, f"{name} fires")
