"""Stands in for the kubelet of Jobs: runs the command of a pod for real, and reports how it ended as a kubelet does.

Pods that no node takes are left alone by kwok, which would end those of Jobs at once: `UNPLACED` keeps them so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

from tests.operator.boards import PATIENCE, Boards
from tests.support.wait import wait_until

Object = dict[str, Any]

UNPLACED = {"spec": {"nodeSelector": {"leaderboard.dev/test": "no-node"}}}
"""A template whose pods find no node."""

DROP = "app.kubernetes.io/name=leaderboard-drop"


def drop_pod(boards: Boards) -> Object:
    """The pod of the Job that drops a database, once it is there."""

    def there() -> Object | None:
        return next((each for each in boards.list("pod", DROP) if each["status"]["phase"] == "Pending"), None)

    found: Object = wait_until(there, PATIENCE, "the pod of the Job")
    return found


def run_pod(boards: Boards, pod: Object, folder: Path) -> int:
    """Run the command of a pod with its variables and its Secret, and report the end; the exit code."""
    (container,) = pod["spec"]["containers"]
    (volume,) = (each for each in pod["spec"]["volumes"] if each["name"] == "secrets")
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == "secrets")
    for source in volume["projected"]["sources"]:
        data = (boards.get("secret", source["secret"]["name"]) or {})["data"]
        for item in source["secret"]["items"]:
            (folder / item["path"]).write_bytes(b64decode(data[item["key"]]))
    variables = {each["name"]: each["value"].replace(mount["mountPath"], str(folder)) for each in container["env"]}
    program, *arguments = container["command"]
    done = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *arguments],
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
    )
    ended = {"exitCode": done.returncode, "reason": "Error" if done.returncode else "Completed"}
    if done.returncode:
        ended["message"] = done.stderr[-2048:]  # FallbackToLogsOnError
    status = {
        "phase": "Failed" if done.returncode else "Succeeded",
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "restartCount": 0,
                "ready": False,
                "state": {"terminated": ended},
            }
        ],
    }
    boards.patch({"status": status}, "pod", pod["metadata"]["name"], "--subresource=status")
    return done.returncode
