"""An API server that refuses, forgets and goes away; an operator that is killed in the middle: all ends well."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.operator.boards import PATIENCE, Boards, leaderboard
from tests.operator.middleman import WRITES, Judge, Middleman
from tests.support.kubernetes import make_namespace
from tests.support.operator import Installation, Operator, install_crd
from tests.support.wait import wait_until


@pytest.fixture
def middleman(crd) -> Iterator[Middleman]:
    with Middleman(crd) as running:
        yield running


@pytest.fixture
def behind(middleman, install, boards, tmp_path) -> Iterator[Callable[[], Operator]]:
    """Makes operators of one installation that reach the API server by the middleman only."""
    installation: Installation = install(watch=(boards.namespace,))
    made = []

    def make() -> Operator:
        operator = middleman.between(Operator(installation, tmp_path / f"operator-{len(made)}.log"))
        made.append(operator)
        operator.start()
        return operator

    yield make
    for operator in made:
        operator.close()


def first_tries(most: int, status: int) -> Judge:
    """Refuses each write that many times, but for leases and Events."""
    tries: dict[tuple[str, str], int] = {}

    def judge(method: str, path: str) -> int | None:
        if method not in WRITES or lease(path) or "/events" in path:
            return None
        tries[method, path] = tries.get((method, path), 0) + 1
        return status if tries[method, path] <= most else None

    return judge


def lease(path: str) -> bool:
    return "/leases" in path


@pytest.mark.parametrize("status", [409, 429, 500, 503])
def test_writes_that_are_refused_are_tried_again(middleman, behind, boards, status):
    """The first tries of each write fail."""
    middleman.judge = first_tries(3, status)
    behind()
    boards.apply(leaderboard())
    boards.wait()
    assert len(middleman.refused) >= 15


def test_reads_that_are_refused_are_tried_again(middleman, behind, boards):
    behind()
    left = itertools.count()
    middleman.judge = lambda method, path: 500 if method == "GET" and not lease(path) and next(left) < 12 else None
    boards.apply(leaderboard())
    boards.wait()
    assert len(middleman.refused) == 12


def test_a_watch_that_has_expired_begins_anew(middleman, behind, boards):
    """410 Gone on every watch for a while, and what happened meanwhile is seen after it."""
    behind()
    boards.apply(leaderboard())
    boards.wait()
    middleman.judge = lambda method, path: 410 if "watch=true" in path else None
    middleman.cut()
    boards.delete("service")
    wait_until(lambda: middleman.refused, PATIENCE, "a watch refused")
    middleman.judge = lambda method, path: None
    boards.patch({"spec": {"replicas": 3}})
    wait_until(lambda: boards.get()["status"].get("readyReplicas") == 3, PATIENCE, "three pods")
    assert boards.get("service")


def test_a_watch_that_cannot_go_on_ends_the_process(middleman, behind):
    """Kopf issue 787: what cannot watch any more must not go on as if it could; the kubelet starts it anew."""
    operator = behind()
    wait_until(lambda: operator.get("/healthz"), PATIENCE, "the operator")
    middleman.judge = lambda method, path: 400 if "/services?" in path else None
    middleman.cut()
    wait_until(lambda: operator.process.poll() is not None, PATIENCE, "its end")


def test_a_list_that_is_refused_ends_no_watch(middleman, behind, boards):
    """Kopf issue 787 again: the API server is out of order for a while, and the watch comes back."""
    operator = behind()
    boards.apply(leaderboard())
    boards.wait()
    lists = ("/leaderboards?", "/services?", "/deployments?")
    middleman.judge = lambda method, path: 500 if method == "GET" and any(each in path for each in lists) else None
    middleman.cut()
    wait_until(lambda: len(middleman.refused) > 3, PATIENCE, "lists refused")
    middleman.judge = lambda method, path: None
    boards.delete("service")
    wait_until(lambda: boards.get("service"), PATIENCE, "the Service")
    assert operator.get("/healthz") == "ok"


@pytest.mark.parametrize("step", [0, 3, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 4, 5, 6, 7, 8))])
def test_an_operator_that_is_killed_at_a_step(middleman, behind, boards, step):
    """After a write, before it hears of it: the next operator goes on from there, and nothing is there twice."""
    operator = behind()
    count = itertools.count()

    def kill(method: str, path: str) -> None:
        if not lease(path) and next(count) == step:
            operator.kill()

    middleman.written = kill
    boards.apply(leaderboard())
    wait_until(lambda: operator.process is None, PATIENCE, "its death")
    behind()
    boards.wait()
    boards.wait("False", "UpToDate", "Reconciling")
    assert len(boards.children()) == 7


@pytest.mark.slow
def test_an_api_server_that_begins_anew(own_cluster, tmp_path):
    install_crd(own_cluster)
    make_namespace(own_cluster, "games")
    make_namespace(own_cluster, "system")
    boards = Boards(own_cluster, "games")
    boards.secrets()
    with Installation(own_cluster, "system") as installation:
        operator = Operator(installation, tmp_path / "operator.log")
        try:
            operator.start()
            boards.apply(leaderboard())
            boards.wait()
            own_cluster.apiserver.kill()
            own_cluster.apiserver.start()
            boards.patch({"spec": {"replicas": 3}})
            if operator.process is not None and operator.process.poll() is not None:
                operator.process = None
                operator.start()  # as its Deployment would: it could not renew its lease in time
            wait_until(lambda: boards.get()["status"].get("readyReplicas") == 3, 90, "three pods")
        finally:
            operator.close()
            boards.reader.close()
