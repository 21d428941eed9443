"""The operator's log: one JSON object per line, with the Leaderboard that it refers to."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import kopf
import pytest
from kopf._core.actions.loggers import LocalObjectLogger

from leaderboard_operator import logs
from tests.support.leaderboards import TIMEOUT, leaderboard
from tests.support.wait import wait_until

log = logging.getLogger("leaderboard_operator.test")


@pytest.fixture
def stream(logging_as_before) -> io.StringIO:
    stream = io.StringIO()
    logs.configure("debug", stream=stream)
    return stream


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_log_line_in_context_names_leaderboard(stream):
    with logs.log_context(("games", "arcade")):
        log.warning("in context")
    log.info("without context")
    with_context, without = lines(stream.getvalue())
    assert (with_context["namespace"], with_context["leaderboard"], with_context["level"]) == (
        "games",
        "arcade",
        "warning",
    )
    assert "leaderboard" not in without


@pytest.mark.parametrize(
    ("kind", "fields"), [("Leaderboard", {"leaderboard": "arcade"}), ("Service", {"object": "Service/arcade"})]
)
def test_log_line_of_kopf_names_object(stream, kind, fields):
    body = kopf.Body({"kind": kind, "metadata": {"name": "arcade", "namespace": "games", "uid": "1"}})
    LocalObjectLogger(body=body, settings=kopf.OperatorSettings()).error("a handler failed")
    (line,) = lines(stream.getvalue())
    assert set(line) == {"ts", "level", "logger", "message", "namespace", *fields}
    assert fields.items() <= line.items()


def test_debug_logs_of_libraries_are_omitted(stream):
    """The Kubernetes client logs complete responses, with Secrets."""
    for name in ("kubernetes.aio.client.rest", "kopf.objects"):
        logging.getLogger(name).debug("response body: ...")
    log.debug("own")
    assert [line["message"] for line in lines(stream.getvalue())] == ["own"]


def test_exit_after_error_is_logged(tmp_path):
    command = [str(Path(sys.executable).with_name("leaderboard-operator")), "run", "--host=127.0.0.1"]
    environment = os.environ | {"KUBECONFIG": str(tmp_path / "none")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)
    *_, line = lines(done.stderr)
    assert (done.returncode, line["level"]) == (1, "critical")
    assert "ConfigException" in line["exception"]


def test_operator_logs_conditions_and_reconciles(leaderboards, install, run_operator):
    installation = install()
    installation.arguments.append("--log-level=debug")
    operator = run_operator(installation)

    def logged(event: str) -> list[dict[str, Any]]:
        matching = [line for line in lines(operator.log) if line.get("event") == event]
        return [line for line in matching if line["namespace"] == leaderboards.namespace]

    leaderboards.apply(leaderboard())
    leaderboards.wait()
    leaderboards.delete("secret", "arcade-jwt")
    wait_until(lambda: len(logged("condition")) == 2, TIMEOUT, "two lines")
    serving, missing = logged("condition")
    assert (serving["level"], serving["reason"], serving["leaderboard"]) == ("info", "Serving", "arcade")
    assert (missing["level"], missing["reason"], missing["leaderboard"]) == ("warning", "SecretMissing", "arcade")
    assert "'arcade-jwt' does not exist" in missing["message"]
    assert "success" in {line["result"] for line in logged("reconcile")}
    debug = {line["logger"] for line in lines(operator.log) if line["level"] == "debug"}
    assert all(name.startswith("leaderboard_operator") for name in debug)
