"""Errors of a reconcile: caught, logged, counted, reported and retried."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from kubernetes.aio import client

from leaderboard_operator.cluster import ApiError, Unreachable, _read
from leaderboard_operator.reconcile import Defaults, Outcome
from leaderboard_operator.run import REPORTED_FAILURES, Operator, Options
from leaderboard_operator.watch import WatchFreshness
from tests.support.wait import eventually, wait_until
from tornado_app.mongo.embedded.mongod import free_port

BAD, GOOD = ("tenant", "bad"), ("games", "arcade")


class Reconciler:
    """Fails for one Leaderboard, and stores the reports."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.reported: list[str] = []
        self.done: list[tuple[str, str]] = []

    async def reconcile(self, key: tuple[str, str]) -> Outcome:
        if key == BAD:
            raise self.error
        self.done.append(key)
        return Outcome()

    async def report(self, key: tuple[str, str], text: str) -> None:
        self.reported.append(text)
        raise ApiError(403, "Forbidden", "not even the status")


@pytest.mark.parametrize(
    ("error", "traceback", "text"),
    [
        (KeyError("spec"), True, "KeyError; the log of the operator has its traceback"),
        (Unreachable("timeout"), False, "timeout"),
        pytest.param(
            ValueError("secret value"),
            True,
            "ValueError; the log of the operator has its traceback",
            marks=pytest.mark.long,
        ),
        pytest.param(
            ApiError(500, "InternalError", "webhook"), False, "500 InternalError: webhook", marks=pytest.mark.long
        ),
    ],
)
async def test_reconcile_with_error_is_reported_and_others_continue(caplog, error, traceback, text):
    operator = Operator(Options(defaults=Defaults(app_image="app:1")), client.Configuration(), "system")
    reconciler = operator._reconciler = Reconciler(error)
    work = asyncio.create_task(operator._queue.run(operator._work, 2))
    try:
        with caplog.at_level(logging.WARNING):
            operator._enqueue(BAD)
            await eventually(lambda: len(reconciler.reported) >= 2, 30)
            operator._enqueue(GOOD)
            await eventually(lambda: reconciler.done == [GOOD])
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await operator._cluster.close()
        await operator._lease_client.close()
    assert reconciler.reported[0] == text
    errors = operator._metrics.registry.get_sample_value(
        "controller_runtime_reconcile_errors_total", {"controller": "leaderboard"}
    )
    assert errors >= REPORTED_FAILURES + 1
    failures = [record for record in caplog.records if "reconcile failed" in record.message]
    assert failures
    assert all(bool(record.exc_info) is traceback for record in failures)


def test_response_with_unknown_status_raises_api_error():
    with pytest.raises(ApiError) as caught:
        _read(520, b"<html>")
    assert (caught.value.status, caught.value.reason) == (520, "Unknown")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("", 0), ("1", 1), ("30", 30), ("86400", 120), ("Sun, 29 Nov 2026 22:00:00 GMT", 0), ("-1", 0), ("²", 0)],
)
def test_response_with_retry_after_raises_bounded_delay(header, seconds):
    with pytest.raises(ApiError) as caught:
        _read(429, b"{}", header)
    assert caught.value.retry_after == seconds


async def test_watch_freshness_after_reset_is_fresh():
    freshness = WatchFreshness()
    freshness._complete_at -= 3600
    assert freshness.age >= 3600
    freshness.reset()
    assert freshness.age < 60


def test_operator_without_api_server_exits_on_sigterm(tmp_path):
    port = free_port()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{free_port()}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "system"}}],
        "current-context": "x",
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    command = [str(Path(sys.executable).with_name("leaderboard-operator")), "run", "--host=127.0.0.1"]
    process = subprocess.Popen(
        [*command, f"--metrics-port={port}", "--health-port=0"],
        env={"PATH": os.environ["PATH"], "KUBECONFIG": str(tmp_path / "kubeconfig")},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: serves(port), 60, "the probes")
        process.terminate()
        assert process.wait(15) == 0
    finally:
        process.kill()
        process.wait()


def serves(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
