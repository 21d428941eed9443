"""An outage of the database: the load on the API server stays low."""

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
from tests.support.fleet import create_fleet, metric_sum, requests
from tests.support.leaderboard_views import view
from tests.support.leaderboards import Leaderboards
from tests.support.operator import RELEASE
from tests.support.status_cases import DATABASE_LOST, NOW, deployment
from tests.support.wait import wait_until

log = logging.getLogger(__name__)

KEY = ("games", "arcade")

MAX_REQUESTS = 0.3
"""Maximum requests per second for a Leaderboard in an outage; without backoff there were 1.4."""

HALF_MINUTE = 30

OUTAGE = Observed(leaderboard=view(), generation=1, now=NOW, deployment=deployment(ready=0), pods=[DATABASE_LOST])
"""Running pods whose database does not answer."""


def waits(reconciler: Reconciler, changes: list[bool]) -> list[float]:
    """Seconds until the next reconcile, after reconciles that changed the status or did not."""
    outcomes = [reconciler._outcome(KEY, OUTAGE, changed=change) for change in changes]
    assert all(isinstance(outcome, Outcome) and not outcome.failed for outcome in outcomes)
    assert all(outcome.requeue_after is not None for outcome in outcomes)
    return [outcome.requeue_after for outcome in outcomes]


def test_requeue_after_of_unchanged_leaderboard_doubles_to_maximum():
    reconciler = Reconciler(None, None, Defaults(app_image="app:1"), enqueue=lambda key: None)
    seconds = waits(reconciler, [True] + [False] * 8)
    assert MIN_RECHECK_SECONDS <= seconds[0] <= 1.2 * MIN_RECHECK_SECONDS
    assert all(1.6 * before <= after <= 2.4 * before for before, after in pairwise(seconds[:5]))
    assert all(MAX_RECHECK_SECONDS <= wait <= 1.2 * MAX_RECHECK_SECONDS for wait in seconds[4:])
    assert len(set(seconds[4:])) > 1, "jitter"
    (after_change,) = waits(reconciler, [True])
    assert after_change <= 1.2 * MIN_RECHECK_SECONDS


class Kubelet:
    """Writes the status of unready pods, over one connection."""

    def __init__(self, leaderboards: Leaderboards) -> None:
        folder, url = leaderboards.cluster.folder, urlsplit(leaderboards.cluster.url)
        tls = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        tls.load_cert_chain(folder / "admin.crt", folder / "admin.key")
        self._connection = http.client.HTTPSConnection(str(url.hostname), url.port, timeout=60, context=tls)

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
        response = self._connection.getresponse()
        response.read()
        assert response.status == 200

    def close(self) -> None:
        self._connection.close()


def reason(live: dict[str, Any]) -> str:
    conditions = live.get("status", {}).get("conditions", [])
    return next((row["reason"] for row in conditions if row["type"] == "Ready"), "")


def rates(entries: list[dict[str, Any]], start: datetime, seconds: int) -> list[float]:
    """Requests per second in each half minute."""
    counts = [0] * (seconds // HALF_MINUTE)
    for entry in entries:
        time_ = (datetime.fromisoformat(entry["requestReceivedTimestamp"]) - start).total_seconds()
        if 0 <= time_ < seconds:
            counts[int(time_) // HALF_MINUTE] += 1
    return [round(count / HALF_MINUTE, 1) for count in counts]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("count", "silence"), [(50, 120), (200, 480)])
def test_outage_of_fleet_causes_few_requests(install, run_operator, leaderboards, count, silence):
    operator = run_operator(install(watch=(leaderboards.namespace,)))
    create_fleet(leaderboards, count, operator.keep_running)
    account = f"{RELEASE}-leaderboard-operator"
    start, mark = time.monotonic(), leaderboards.cluster.audit_mark()
    kubelet = Kubelet(leaderboards)
    for pod in leaderboards.list("pod"):
        kubelet.unready(pod)
    kubelet.close()

    def reported() -> bool:
        operator.keep_running()
        return sum(reason(live) == "NotAnswering" for live in leaderboards.list("leaderboard")) == count

    wait_until(reported, 600, "the outage in each status", pause=2.0)
    seconds = time.monotonic() - start
    burst = len(requests(leaderboards.cluster, mark, account))
    reconciles = "controller_runtime_reconcile_time_seconds_count"
    before, quiet, began = metric_sum(operator, reconciles), leaderboards.cluster.audit_mark(), datetime.now(UTC)
    restarts = operator.restarts
    end = time.monotonic() + silence
    while time.monotonic() < end:  # counts the requests without a change
        operator.keep_running()
        time.sleep(1)
    entries = requests(leaderboards.cluster, quiet, account)
    rate = len(entries) / silence
    rechecks = metric_sum(operator, reconciles) - (before if operator.restarts == restarts else 0)
    log.info(
        "%d Leaderboards: %d requests in the first %.0f s, then %.1f per second, %.0f reconciles in %d s; "
        "per second in each half minute: %s; the operator was restarted %d times",
        *(count, burst, seconds, rate, rechecks, silence, rates(entries, began, silence), operator.restarts),
    )
    assert rechecks < count * (silence / MIN_RECHECK_SECONDS) / 3
    assert rate < count * MAX_REQUESTS
