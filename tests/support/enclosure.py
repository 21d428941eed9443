"""Where a node lives: mounts, processes, a network and cgroups of its own. However its owner ends, nothing is left.

`python -m tests.support.enclosure FOLDER` makes it, prints the pid of its first process, and holds it until its own
standard input ends; then it ends all that runs there, and removes cgroups and folder. It takes a pytest that is killed
for an end like any other, because it is no part of pytest.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NoReturn

from tests.support.project import ROOT
from tests.support.wait import wait_until
from tornado_app.runtime import parent_death

HOST, NODE = "10.99.0.1", "10.99.0.2"
"""The two ends of the link between this machine and the node."""
LINK = "leaderboard0"
CGROUP = "leaderboard-node"
CGROUPS = Path("/sys/fs/cgroup")
HIDDEN = ("/run", "/var/lib", "/var/log")
"""Folders that are empty in there, and in memory: what the node's programs write to them goes with it."""
KERNEL = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1_000_000,
    "kernel/keys/root_maxbytes": 25_000_000,
}
"""What a kubelet sets for the whole machine. In there it finds it set, and this machine stays as it is."""
NETWORK = {"ipv4/ip_forward": 1, "bridge/bridge-nf-call-iptables": 1}
START_SECONDS = 30
END_SECONDS = 30


class Enclosure:
    """The enclosure, which a process of its own keeps; a context manager. `routes` lead into it."""

    def __init__(self, folder: Path, *routes: str) -> None:
        self.folder = folder
        self._command = [sys.executable, "-m", "tests.support.enclosure", str(folder), *routes]
        self._process: subprocess.Popen[str] | None = None
        self.pid = 0

    def __enter__(self) -> Enclosure:
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for pytest
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            _, errors = self._process.communicate(timeout=3 * END_SECONDS)
            self._process = None
            raise AssertionError(f"the node's namespaces cannot be made: {errors[-2000:]}")
        self.pid = int(line)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            _, errors = self._process.communicate(timeout=3 * END_SECONDS)  # which ends its standard input
            assert self._process.returncode == 0, f"something is left of the node: {errors[-2000:]}"
            self._process = None

    def within(self, *command: str) -> list[str]:
        """The command line that runs a command in there."""
        program = shutil.which("nsenter")
        assert program is not None
        return [program, f"--target={self.pid}", "--mount", "--net", "--pid", "--", *command]

    def run(self, *command: str, seconds: float = START_SECONDS) -> str:
        """Run a command in there; what it prints."""
        return _run(*self.within(*command), seconds=seconds)


# -- the process that holds it ------------------------------------------------------------------------


def hold(folder: Path, routes: list[str]) -> None:
    """Make it, print the pid of its first process, and remove it when standard input ends."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    with socket.socket(socket.AF_UNIX) as lock:
        try:
            lock.bind(f"\0{CGROUP}")  # the kernel's own name: it goes with us
        except OSError:
            sys.exit("another node runs on this machine")
        folder.mkdir(parents=True)
        try:
            with _cgroups(), _namespaces(folder) as first, _link(first, routes):
                _say(str(first))
                sys.stdin.read()
        finally:
            shutil.rmtree(folder)


def _leave(*_: object) -> NoReturn:
    sys.exit(1)


@contextmanager
def _namespaces(folder: Path) -> Iterator[int]:
    """The pid of their first process. When it ends, the kernel ends all others in there."""
    unshare = ["unshare", "--mount", "--propagation=private", "--net", "--pid", "--fork", "--mount-proc"]
    inner = [sys.executable, "-m", "tests.support.enclosure", "--inside", str(folder)]
    program = shutil.which("unshare") or "unshare"
    command = parent_death.command(program, *unshare[1:], "--kill-child=SIGKILL", *inner)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as outer:
        try:
            assert outer.stdout is not None
            assert outer.stdout.readline() == "made\n", "see above"
            first = int(Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text())
            try:
                yield first
            finally:
                os.kill(first, signal.SIGKILL)
                outer.wait(END_SECONDS)  # it waits for the first, and that for all others
        finally:
            outer.kill()


@contextmanager
def _link(pid: int, routes: list[str]) -> Iterator[None]:
    """A cable from here into the network of a process, and what leads through it. Both go with that network."""
    _run("ip", "link", "add", LINK, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    try:
        within = ("nsenter", f"--target={pid}", "--net")
        _run(*within, "ip", "link", "set", "lo", "up")
        for prefix, address, device in (((), HOST, LINK), (within, NODE, "eth0")):
            _run(*prefix, "ip", "address", "add", f"{address}/30", "dev", device)
            _run(*prefix, "ip", "link", "set", device, "up")
        for each in routes:
            _run("ip", "route", "add", each, "via", NODE, "dev", LINK)
        yield
    finally:
        _run("ip", "link", "delete", LINK)


@contextmanager
def _cgroups() -> Iterator[None]:
    """A cgroup in each hierarchy, for the kubelet to put pods into."""
    unified = (CGROUPS / "cgroup.controllers").exists()
    found = [CGROUPS] if unified else [each.parent for each in CGROUPS.glob("*/cgroup.procs")]
    homes = [each / CGROUP for each in found]
    try:
        for home in homes:
            home.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):  # where it is not inherited, nothing may run without
                if not unified and (home / name).exists():
                    (home / name).write_text((home.parent / name).read_text())
        yield
    finally:
        for home in homes:
            wait_until(partial(_removed, home), END_SECONDS, f"{home} is gone")


def _removed(cgroup: Path) -> bool:
    """Remove a cgroup with those in it; False while a process in it still ends."""
    try:
        for folder, _, _ in os.walk(cgroup, topdown=False):
            Path(folder).rmdir()
    except OSError:
        return False
    return True


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _run(*command: str, seconds: float = START_SECONDS) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}{done.stdout}"
    return done.stdout


# -- the first process in there -----------------------------------------------------------------------


def live(folder: Path) -> NoReturn:
    """Make the mounts, then adopt and reap the processes that lost their parent."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for path in HIDDEN:
        _run("mount", "-t", "tmpfs", "tmpfs", path)
    for name, value in KERNEL.items():
        shown = folder / name.replace("/", ".")
        shown.write_text(f"{value}\n")
        _run("mount", "--bind", str(shown), f"/proc/sys/{name}")
    for name, value in NETWORK.items():
        Path("/proc/sys/net", name).write_text(str(value))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # their exit codes are not needed
    _say("made")
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    if sys.argv[1] == "--inside":
        live(Path(sys.argv[2]))
    hold(Path(sys.argv[1]), sys.argv[2:])
