"""A fleet whose database is away is looked at seldom: the API server has others to serve."""

from __future__ import annotations

import http.client
import json
import logging
import ssl
import time
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import pytest

from leaderboard_operator.reconcile import MAX_RECHECK_SECONDS, MIN_RECHECK_SECONDS, Defaults, Outcome, Reconciler
from leaderboard_operator.status import Observed
from tests.operator.boards import Boards
from tests.operator.samples import board
from tests.operator.test_leadership import counted, fleet, requests
from tests.operator.test_status import LOST, NOW, deployment
from tests.support.operator import RELEASE
from tests.support.wait import wait_until

log = logging.getLogger(__name__)

KEY = ("games", "arcade")

MOST_REQUESTS = 0.3
"""Requests a second that a Leaderboard in an outage may cost; it was 1.4 with a look every ten seconds."""

HALF_MINUTE = 30

AWAY = Observed(leaderboard=board(), generation=1, now=NOW, deployment=deployment(ready=0), pods=[LOST])
"""The pods run, and their database does not answer."""


def waits(reconciler: Reconciler, changes: list[bool]) -> list[float]:
    """Seconds until each next look, after looks that changed the status or did not."""
    found = [reconciler._outcome(KEY, AWAY, changed=each) for each in changes]
    assert all(isinstance(each, Outcome) and not each.failed and each.requeue_after is not None for each in found)
    return [each.requeue_after for each in found]


def test_leaderboard_that_waits_for_its_database_is_looked_at_less_and_less_often():
    reconciler = Reconciler(None, None, Defaults(app_image="app:1"), enqueue=lambda key: None)
    found = waits(reconciler, [True] + [False] * 8)
    assert MIN_RECHECK_SECONDS <= found[0] <= 1.2 * MIN_RECHECK_SECONDS
    assert all(1.6 * before <= after <= 2.4 * before for before, after in pairwise(found[:5]))
    assert all(MAX_RECHECK_SECONDS <= each <= 1.2 * MAX_RECHECK_SECONDS for each in found[4:])
    assert len(set(found[4:])) > 1, "those of one outage do not come at once"
    (again,) = waits(reconciler, [True])
    assert again <= 1.2 * MIN_RECHECK_SECONDS, "something happens"


class Kubelet:
    """Says of pods that they are not ready, over one connection."""

    def __init__(self, boards: Boards) -> None:
        folder, place = boards.cluster.folder, urlsplit(boards.cluster.url)
        tls = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        tls.load_cert_chain(folder / "admin.crt", folder / "admin.key")
        self._connection = http.client.HTTPSConnection(str(place.hostname), place.port, timeout=60, context=tls)

    def unready(self, pod: dict[str, Any]) -> None:
        meta, since = pod["metadata"], datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        started = {"running": {"startedAt": meta["creationTimestamp"]}}
        container = {"name": "leaderboard", "image": "i", "imageID": "", "restartCount": 0, "ready": False}
        status = {
            "conditions": [
                {"type": type_, "status": "False", "lastTransitionTime": since}
                for type_ in ("Ready", "ContainersReady")
            ],
            "containerStatuses": [{**container, "started": True, "state": started}],
        }
        headers = {"Content-Type": "application/merge-patch+json"}
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/status"
        self._connection.request("PATCH", path, json.dumps({"status": status}), headers)
        answer = self._connection.getresponse()
        answer.read()
        assert answer.status == 200

    def close(self) -> None:
        self._connection.close()


def reason(found: dict[str, Any]) -> str:
    conditions = found.get("status", {}).get("conditions", [])
    return next((each["reason"] for each in conditions if each["type"] == "Ready"), "")


def rates(entries: list[dict[str, Any]], start: datetime, seconds: int) -> list[float]:
    """Requests a second in each half minute."""
    counts = [0] * (seconds // HALF_MINUTE)
    for each in entries:
        at = (datetime.fromisoformat(each["requestReceivedTimestamp"]) - start).total_seconds()
        if 0 <= at < seconds:
            counts[int(at) // HALF_MINUTE] += 1
    return [round(count / HALF_MINUTE, 1) for count in counts]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("count", "silence"), [(50, 120), (200, 480)])
def test_outage_of_a_fleet_asks_little_of_the_api_server(install, run_operator, boards, count, silence):
    operator = run_operator(install(watch=(boards.namespace,)))
    fleet(boards, count, operator.keep_running)
    account = f"{RELEASE}-leaderboard-operator"
    start, mark = time.monotonic(), boards.cluster.audit_mark()
    kubelet = Kubelet(boards)
    for pod in boards.list("pod"):
        kubelet.unready(pod)
    kubelet.close()

    def told() -> bool:
        operator.keep_running()
        return sum(reason(each) == "NotAnswering" for each in boards.list("leaderboard")) == count

    wait_until(told, 600, "the outage in each status", pause=2.0)
    seconds = time.monotonic() - start
    burst = len(requests(boards.cluster, mark, account))
    reconciles = "controller_runtime_reconcile_time_seconds_count"
    before, quiet, began = counted(operator, reconciles), boards.cluster.audit_mark(), datetime.now(UTC)
    restarts = operator.restarts
    end = time.monotonic() + silence
    while time.monotonic() < end:  # what is counted is what the operator does when nothing happens
        operator.keep_running()
        time.sleep(1)
    found = requests(boards.cluster, quiet, account)
    rate = len(found) / silence
    looks = counted(operator, reconciles) - (before if operator.restarts == restarts else 0)
    log.info(
        "%d Leaderboards: %d requests in the first %.0f s of the outage, then %.1f a second, %.0f looks in %d s; "
        "a second in each half minute: %s; the operator was restarted %d times",
        *(count, burst, seconds, rate, looks, silence, rates(found, began, silence), operator.restarts),
    )
    assert looks < count * (silence / MIN_RECHECK_SECONDS) / 3
    assert rate < count * MOST_REQUESTS
