"""The enclosure of a node: isolated while it runs, and without a trace afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.embedded import alive
from tests.support.enclosure import CGROUP, CGROUPS, LINK, NODE, Enclosure
from tests.support.mongod import end_with_parent
from tests.support.node import need_node
from tests.support.wait import wait_until

pytestmark = pytest.mark.node

ROUTE = "10.244.0.0/24"
OWNER = f"""
import signal, sys, time
from pathlib import Path
from tests.support.enclosure import Enclosure

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell without job control has its jobs ignore
with Enclosure(Path(sys.argv[1]), {ROUTE!r}) as enclosure:
    enclosure.run("mkdir", "/run/something")
    print(enclosure.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def possible():
    need_node()


def traces(folder: Path) -> list[str]:
    """What of it can be seen on this machine."""
    links, routes = (subprocess.run(["ip", kind], capture_output=True, text=True).stdout for kind in ("link", "route"))
    found = [str(each) for each in (folder, *CGROUPS.glob(f"**/{CGROUP}")) if each.exists()]
    return found + [each for each in (LINK, ROUTE) if each in links + routes]


def test_enclosure_is_isolated_and_leaves_nothing(tmp_path):
    folder = tmp_path / "node"
    panic = Path("/proc/sys/kernel/panic").read_text()
    with Enclosure(folder, ROUTE) as enclosure:
        assert {LINK, ROUTE, str(folder)} < set(traces(folder))
        assert NODE in enclosure.run("ip", "address")
        change = "ls /var/lib; echo 11 > /proc/sys/kernel/panic; cat /proc/sys/kernel/panic"
        assert enclosure.run("sh", "-c", change) == "11\n"
        sleeper = subprocess.Popen(enclosure.within("sleep", "600"))
    sleeper.wait(10)
    assert traces(folder) == []
    assert Path("/proc/sys/kernel/panic").read_text() == panic


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_enclosure_of_a_killed_owner_leaves_nothing(number, tmp_path):
    folder = tmp_path / "node"
    command = [sys.executable, "-c", OWNER, str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, preexec_fn=end_with_parent
    ) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert traces(folder)
        os.kill(owner.pid, number)
    wait_until(lambda: not alive(pid), 30, "its processes are gone")
    wait_until(lambda: traces(folder) == [], 30, "nothing is left of it")


def test_enclosure_beside_another_is_refused(tmp_path):
    with Enclosure(tmp_path / "one", ROUTE) as first:
        with pytest.raises(AssertionError, match="another node runs"), Enclosure(tmp_path / "two", ROUTE):
            raise AssertionError("there were two")
        assert not (tmp_path / "two").exists()
        assert first.run("echo", "here") == "here\n"
