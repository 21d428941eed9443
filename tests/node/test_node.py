"""The chart and a Leaderboard on a real node: operations and faults.

`clients.py` says which requests count as failed.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from uuid import uuid4

import pytest

from tests.node.board import GAMES, HOME, OPERATOR, Board, Visitor, call, install, kill, wait_for
from tests.node.clients import LISTENERS, Account, Clients
from tests.support.enclosure import HOST
from tests.support.node import NodeCluster
from tests.support.service import token
from tests.support.wait import wait_until

pytestmark = [pytest.mark.node, pytest.mark.timeout(900)]

BACK_SECONDS = 5.0
"""Within which a socket is back, and requests no longer fail after a pod was killed."""
AWAY_SECONDS = 30.0
"""How long operator and API server are away."""
SETTLE_SECONDS = 20

log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def board(node: NodeCluster) -> Board:
    install(node)
    return Board(node)


@contextmanager
def traffic(board: Board) -> Iterator[Clients]:
    """Clients that run before, during and after the block; no acknowledged write is lost."""
    with Clients(board.address) as clients:
        yield clients
        clients.go_on()
    log.info("%s", clients.account)
    assert clients.wrong() == {}


def unbroken(account: Account) -> None:
    assert [what for _, what in account.failed] == []
    assert max(account.away, default=0) <= BACK_SECONDS


def soon_over(account: Account, since: float) -> None:
    """Requests failed only at once after `since`."""
    late = [what for when, what in account.failed if when > since + BACK_SECONDS]
    assert late == []
    assert max(account.away, default=0) <= BACK_SECONDS


def test_leaderboard_serves_at_the_address_of_its_status(board):
    # Ready is there with the first pod that takes requests.
    status = wait_until(lambda: board.status.get("readyReplicas") == 2 and board.status, 60, "both pods are ready")
    conditions = {each["type"]: each["status"] for each in status["conditions"]}
    assert (conditions["Ready"], conditions["Stalled"], status["readyReplicas"]) == ("True", "False", 2)
    connection = HTTPConnection(board.address, timeout=10)
    headers = {"Authorization": f"Bearer {token('alice', scope='scores:write')}", "Content-Type": "application/json"}
    connection.request("POST", "/api/score", json.dumps({"score": 5}), headers)
    response = json.loads(connection.getresponse().read())
    connection.request("GET", "/api/v1/players/alice")
    shown = json.loads(connection.getresponse().read())
    connection.close()
    assert (response["score"], shown["score"], shown["rank"]) == (5, 5, 1)


def test_helm_test_passes(node, board):
    """The operator answers, and a Leaderboard of it counts a score."""
    node.helm("test", "lb", "--namespace", HOME, "--timeout=200s", seconds=210)


def test_service_commands_work_in_its_pods(node, board):
    """As the documentation and the runbooks have them: the pods' environment names the settings."""

    def leaderboard(*arguments: str) -> str:
        pod = ("exec", "deploy/arcade", "--namespace", GAMES, "--")
        return node.kubectl(*pod, "leaderboard", *arguments).stdout.strip()

    assert "/etc/leaderboard/secrets/mongodb-uri" in leaderboard("check-config")
    headers = {
        "Authorization": f"Bearer {leaderboard('token', '--sub', 'carol')}",
        "Action-Proof": leaderboard("sign-action", "--sub", "carol", "--type", "boss", "--points", "7"),
        "Content-Type": "application/json",
    }
    connection = HTTPConnection(board.address, timeout=10)
    connection.request("POST", "/api/score", json.dumps({"score": 7}), headers)
    assert json.loads(connection.getresponse().read())["score"] == 7
    connection.close()
    assert "0 differences" in leaderboard("audit")


def test_network_policies_refuse_other_clients(node, board):
    """Only pods may read the metrics, and clients of `allowFrom` use the service; without policies both work."""
    url = board.status["url"]
    friend, stranger = Visitor(node, "friends", plays="arcade"), Visitor(node, "strangers")
    assert friend.call(f"{url}/healthz") == stranger.call(f"{url}/healthz") == "answered 200"
    pods = {"namespaceSelector": {"matchLabels": {"plays": "arcade"}}}
    board.patch(networkPolicy={"allowFrom": [pods, {"ipBlock": {"cidr": f"{HOST}/32"}}]})
    try:
        wait_until(lambda: stranger.call(f"{url}/healthz") == "timed out", SETTLE_SECONDS, "a stranger is kept out")
        assert friend.call(f"{url}/healthz") == "answered 200"
        metrics = f"http://{board.pods()[0]['status']['podIP']}:8081/metrics"
        assert stranger.call(metrics) == "answered 200"
        assert call(metrics) == "timed out"
        assert call(f"http://{board.address}/healthz") == "answered 200"
        stranger.label(plays="arcade")
        wait_until(lambda: stranger.call(f"{url}/healthz") == "answered 200", SETTLE_SECONDS, "it is no stranger now")
    finally:
        board.patch(networkPolicy={"allowFrom": []})


def test_network_policies_allow_only_metrics_of_the_operator(node, board):
    pod = node.objects("pods", HOME, "app.kubernetes.io/name=leaderboard-operator")[0]
    address = pod["status"]["podIP"]
    assert call(f"http://{address}:8080/metrics") == "answered 200"
    assert call(f"http://{address}:8081/healthz") == "timed out"


def test_rollout_under_load_fails_no_request(board):
    old = [each["metadata"]["name"] for each in board.pods()]
    with traffic(board) as clients:
        board.patch(template={"metadata": {"annotations": {"rolled": uuid4().hex}}})
        board.settle(*old)
    unbroken(clients.account)
    assert len(clients.account.away) >= LISTENERS, "each socket was on a pod that has gone"


def test_killed_process_restarts_while_the_other_pod_serves(node, board):
    with traffic(board) as clients:
        killed = board.pods()[0]
        began = time.monotonic()
        kill(node, killed)
        wait_until(lambda: restarts(board) == 1, SETTLE_SECONDS, "the kubelet starts it again")
        board.settle()
    soon_over(clients.account, began)


def test_force_deleted_pod_is_replaced_while_the_other_serves(node, board):
    with traffic(board) as clients:
        name = board.pods()[0]["metadata"]["name"]
        began = time.monotonic()
        node.kubectl("delete", "pod", name, "--force", "--grace-period=0", "--namespace", GAMES)
        board.settle(name)
    soon_over(clients.account, began)


def test_service_continues_without_operator_and_api_server(node, board):
    operators = node.objects("pods", HOME, "app.kubernetes.io/name=leaderboard-operator")
    with traffic(board) as clients:
        node.apiserver.freeze()
        try:
            for each in operators:
                kill(node, each)
            end = time.monotonic() + AWAY_SECONDS
            while time.monotonic() < end:
                clients.go_on()
        finally:
            node.apiserver.thaw()
    unbroken(clients.account)
    assert clients.account.away == []
    wait_for(node, HOME, f"deployment/{OPERATOR}", "condition=Available")
    board.patch(replicas=3)
    wait_until(lambda: board.status["readyReplicas"] == 3, 120, "the operator works on")
    board.patch(replicas=2)
    board.settle()


def restarts(board: Board) -> int:
    return sum(each["restartCount"] for pod in board.pods() for each in pod["status"]["containerStatuses"])
