"""Replaces the kubelet for drop Jobs: runs the command of a pod, and writes its result into the status of the pod.

kwok completes the pods of Jobs at once, except for unschedulable ones: use the template `UNSCHEDULABLE`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

from tests.support.leaderboards import TIMEOUT, Leaderboards
from tests.support.wait import wait_until

Object = dict[str, Any]

UNSCHEDULABLE = {"spec": {"nodeSelector": {"leaderboard.dev/test": "no-node"}}}
"""A pod template that matches no node."""

DROP_SELECTOR = "app.kubernetes.io/name=leaderboard-drop"


def drop_pod(leaderboards: Leaderboards) -> Object:
    """Wait for the pod of the Job that drops a database."""

    def pending() -> Object | None:
        return next(
            (pod for pod in leaderboards.list("pod", DROP_SELECTOR) if pod["status"]["phase"] == "Pending"), None
        )

    pod: Object = wait_until(pending, TIMEOUT, "the pod of the Job")
    return pod


def run_pod(leaderboards: Leaderboards, pod: Object, folder: Path) -> int:
    """Run the command of a pod with its variables and its Secret, write the pod's status, and return the exit code."""
    (container,) = pod["spec"]["containers"]
    (volume,) = (row for row in pod["spec"]["volumes"] if row["name"] == "secrets")
    (mount,) = (row for row in container["volumeMounts"] if row["name"] == "secrets")
    for source in volume["projected"]["sources"]:
        data = (leaderboards.get("secret", source["secret"]["name"]) or {})["data"]
        for item in source["secret"]["items"]:
            (folder / item["path"]).write_bytes(b64decode(data[item["key"]]))
    variables = {row["name"]: row["value"].replace(mount["mountPath"], str(folder)) for row in container["env"]}
    program, *arguments = container["command"]
    done = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *arguments],
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
    )
    terminated = {"exitCode": done.returncode, "reason": "Error" if done.returncode else "Completed"}
    if done.returncode:
        terminated["message"] = done.stderr[-2048:]  # FallbackToLogsOnError
    status = {
        "phase": "Failed" if done.returncode else "Succeeded",
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "restartCount": 0,
                "ready": False,
                "state": {"terminated": terminated},
            }
        ],
    }
    leaderboards.patch({"status": status}, "pod", pod["metadata"]["name"], "--subresource=status")
    return done.returncode
