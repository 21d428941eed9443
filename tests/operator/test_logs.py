"""The operator's log: one JSON object a line, which says what Leaderboard it is about, whoever wrote it."""

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
from tests.operator.boards import PATIENCE, leaderboard
from tests.support.wait import wait_until

log = logging.getLogger("leaderboard_operator.test")


@pytest.fixture
def stream(logging_as_before) -> io.StringIO:
    stream = io.StringIO()
    logs.configure("debug", stream=stream)
    return stream


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_says_which_leaderboard_is_at_hand(stream):
    with logs.about(("games", "arcade")):
        log.warning("to be tried again")
    log.info("done")
    about, none = lines(stream.getvalue())
    assert (about["namespace"], about["leaderboard"], about["level"]) == ("games", "arcade", "warning")
    assert "leaderboard" not in none


@pytest.mark.parametrize(
    ("kind", "told"), [("Leaderboard", {"leaderboard": "arcade"}), ("Service", {"object": "Service/arcade"})]
)
def test_kopf_s_own_lines_are_told_apart_the_same_way(stream, kind, told):
    body = kopf.Body({"kind": kind, "metadata": {"name": "arcade", "namespace": "games", "uid": "1"}})
    LocalObjectLogger(body=body, settings=kopf.OperatorSettings()).error("a handler failed")
    (line,) = lines(stream.getvalue())
    assert set(line) == {"ts", "level", "logger", "message", "namespace", *told}
    assert told.items() <= line.items()


def test_what_others_read_is_not_told_at_debug_either(stream):
    """The client of Kubernetes writes whole answers, and with them Secrets."""
    for name in ("kubernetes.aio.client.rest", "kopf.objects"):
        logging.getLogger(name).debug("response body: ...")
    log.debug("ours")
    assert [line["message"] for line in lines(stream.getvalue())] == ["ours"]


def test_an_end_by_an_error_is_a_line_too(tmp_path):
    command = [str(Path(sys.executable).with_name("leaderboard-operator")), "run", "--host=127.0.0.1"]
    environment = os.environ | {"KUBECONFIG": str(tmp_path / "none")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)
    *_, line = lines(done.stderr)
    assert (done.returncode, line["level"]) == (1, "critical")
    assert "ConfigException" in line["exception"]


def test_the_log_of_an_operator_at_work(boards, install, run_operator):
    installation = install()
    installation.arguments.append("--log-level=debug")
    operator = run_operator(installation)

    def told(event: str) -> list[dict[str, Any]]:
        found = [line for line in lines(operator.log) if line.get("event") == event]
        return [line for line in found if line["namespace"] == boards.namespace]

    boards.apply(leaderboard())
    boards.wait()
    boards.delete("secret", "arcade-jwt")
    wait_until(lambda: len(told("condition")) == 2, PATIENCE, "two lines")
    serving, missing = told("condition")
    assert (serving["level"], serving["reason"], serving["leaderboard"]) == ("info", "Serving", "arcade")
    assert (missing["level"], missing["reason"], missing["leaderboard"]) == ("warning", "SecretMissing", "arcade")
    assert "'arcade-jwt' does not exist" in missing["message"]
    assert "success" in {each["result"] for each in told("reconcile")}
    debug = {line["logger"] for line in lines(operator.log) if line["level"] == "debug"}
    assert all(name.startswith("leaderboard_operator") for name in debug)
