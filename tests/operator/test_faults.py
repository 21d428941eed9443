"""Faults of the API server and kills of the operator: the Leaderboard becomes ready in the end."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.support.api_server_proxy import WRITES, ApiServerProxy, Refusal
from tests.support.kubernetes import make_namespace
from tests.support.leaderboards import TIMEOUT, Leaderboards, leaderboard
from tests.support.operator import Installation, Operator, install_crd
from tests.support.wait import wait_until


@pytest.fixture
def api_server_proxy(crd) -> Iterator[ApiServerProxy]:
    with ApiServerProxy(crd) as proxy:
        yield proxy


@pytest.fixture
def start_operator(api_server_proxy, install, leaderboards, tmp_path) -> Iterator[Callable[[], Operator]]:
    """Starts operators of one installation, which use the proxy."""
    installation: Installation = install(watch=(leaderboards.namespace,))
    operators = []

    def start() -> Operator:
        operator = api_server_proxy.redirect(Operator(installation, tmp_path / f"operator-{len(operators)}.log"))
        operators.append(operator)
        operator.start()
        return operator

    yield start
    for operator in operators:
        operator.close()


def refuse_first_writes(count: int, status: int) -> Refusal:
    """Refuses each write `count` times, except for leases and Events."""
    tries: dict[tuple[str, str], int] = {}

    def refuse(method: str, path: str) -> int | None:
        if method not in WRITES or is_lease(path) or "/events" in path:
            return None
        tries[method, path] = tries.get((method, path), 0) + 1
        return status if tries[method, path] <= count else None

    return refuse


def is_lease(path: str) -> bool:
    return "/leases" in path


@pytest.mark.parametrize("status", [409, 429, 500, 503])
def test_operator_with_refused_writes_retries(api_server_proxy, start_operator, leaderboards, status):
    api_server_proxy.refuse = refuse_first_writes(3, status)
    start_operator()
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    assert len(api_server_proxy.refused) >= 15


def test_operator_with_refused_reads_retries(api_server_proxy, start_operator, leaderboards):
    start_operator()
    refusals = itertools.count()

    def refuse(method: str, path: str) -> int | None:
        return 500 if method == "GET" and not is_lease(path) and next(refusals) < 12 else None

    api_server_proxy.refuse = refuse
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    assert len(api_server_proxy.refused) == 12


def test_operator_with_expired_watch_restarts_it(api_server_proxy, start_operator, leaderboards):
    """After a time of 410 Gone for all watches, the operator sees the changes of that time."""
    start_operator()
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    api_server_proxy.refuse = lambda method, path: 410 if "watch=true" in path else None
    api_server_proxy.close_watches()
    leaderboards.delete("service")
    wait_until(lambda: api_server_proxy.refused, TIMEOUT, "a watch refused")
    api_server_proxy.refuse = lambda method, path: None
    leaderboards.patch({"spec": {"replicas": 3}})
    wait_until(lambda: leaderboards.get()["status"].get("readyReplicas") == 3, TIMEOUT, "three pods")
    assert leaderboards.get("service")


def test_operator_with_refused_watch_exits(api_server_proxy, start_operator):
    """Kopf issue 787: without a watch the process must exit, so that the kubelet restarts it."""
    operator = start_operator()
    wait_until(lambda: operator.get("/healthz"), TIMEOUT, "the operator")
    api_server_proxy.refuse = lambda method, path: 400 if "/services?" in path else None
    api_server_proxy.close_watches()
    wait_until(lambda: operator.process.poll() is not None, TIMEOUT, "its exit")


def test_operator_with_refused_lists_keeps_watching(api_server_proxy, start_operator, leaderboards):
    """Kopf issue 787: the watch continues after the API server has refused lists for some time."""
    operator = start_operator()
    leaderboards.apply(leaderboard())
    leaderboards.wait()
    lists = ("/leaderboards?", "/services?", "/deployments?")
    api_server_proxy.refuse = lambda method, path: (
        500 if method == "GET" and any(part in path for part in lists) else None
    )
    api_server_proxy.close_watches()
    wait_until(lambda: len(api_server_proxy.refused) > 3, TIMEOUT, "lists refused")
    api_server_proxy.refuse = lambda method, path: None
    leaderboards.delete("service")
    wait_until(lambda: leaderboards.get("service"), TIMEOUT, "the Service")
    assert operator.get("/healthz") == "ok"


@pytest.mark.parametrize("step", [0, 3, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 4, 5, 6, 7, 8))])
def test_operator_killed_after_write_is_continued_by_the_next(api_server_proxy, start_operator, leaderboards, step):
    """It is killed before it receives the response. The next operator creates no object twice."""
    operator = start_operator()
    count = itertools.count()

    def kill(method: str, path: str) -> None:
        if not is_lease(path) and next(count) == step:
            operator.kill()

    api_server_proxy.on_write = kill
    leaderboards.apply(leaderboard())
    wait_until(lambda: operator.process is None, TIMEOUT, "its exit")
    start_operator()
    leaderboards.wait()
    leaderboards.wait("False", "UpToDate", "Reconciling")
    assert len(leaderboards.owned_objects()) == 8


@pytest.mark.slow
def test_operator_with_restarted_api_server_continues(own_cluster, tmp_path):
    install_crd(own_cluster)
    make_namespace(own_cluster, "games")
    make_namespace(own_cluster, "system")
    leaderboards = Leaderboards(own_cluster, "games")
    leaderboards.create_secrets()
    with Installation(own_cluster, "system") as installation:
        operator = Operator(installation, tmp_path / "operator.log")
        try:
            operator.start()
            leaderboards.apply(leaderboard())
            leaderboards.wait()
            own_cluster.apiserver.kill()
            own_cluster.apiserver.start()
            leaderboards.patch({"spec": {"replicas": 3}})
            if operator.process is not None and operator.process.poll() is not None:
                operator.process = None
                operator.start()  # as its Deployment does after it could not renew its lease
            wait_until(lambda: leaderboards.get()["status"].get("readyReplicas") == 3, 90, "three pods")
        finally:
            operator.close()
            leaderboards.reader.close()
