"""The images, built by Debian's buildah on a base made by debootstrap, and run by runc: no registry, no daemon."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.support.program import Program
from tests.support.project import ROOT
from tests.support.requirements import missing

TOOLS = ("buildah", "debootstrap", "runc")
TRUST = Path("/etc/ssl/certs/ca-certificates.crt")
BASE = "localhost/base:test"
PAUSE = "localhost/pause:test"
"""The container that keeps a pod's namespaces while its other containers start and stop."""
BUILD_SECONDS = 500
STEP_SECONDS = 120

Object = dict[str, Any]


def need_tools() -> None:
    """Skip, or with CI=true fail, where images cannot be built."""
    if os.geteuid() != 0:
        missing("images are built by root: run `make test-node` as root")
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    if absent:
        missing(f"{', '.join(absent)} is not installed: apt-get install {' '.join(absent)}")


class Images:
    """A store of images in a folder; a context manager that removes it. What is built is built once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._built: set[str] = set()
        self._buildah = ["buildah", f"--root={folder}/root", f"--runroot={folder}/run", "--storage-driver=overlay"]

    def __enter__(self) -> Images:
        self.folder.mkdir(parents=True)
        container = self._run("from", "scratch").strip()
        self._run("add", "--quiet", container, str(base_files()), "/")
        self._run("config", "--env", f"PATH={os.defpath}:/usr/local/bin:/usr/sbin", container)
        self._run("commit", "--quiet", container, BASE)
        self._run("config", "--cmd", "sleep infinity", container)
        self._run("commit", "--quiet", "--rm", container, PAUSE)
        return self

    def __exit__(self, *_: object) -> None:
        self._run("umount", "--all")
        self._run("rm", "--all")
        shutil.rmtree(self.folder)

    def build(self, target: str) -> str:
        """Build a target of the Dockerfile, the first time that it is asked for; the image's name."""
        return self.build_from(ROOT, f"leaderboard-{target}", f"--target={target}")

    def build_from(self, folder: Path, image: str, *more: str) -> str:
        """The same with the Dockerfile of any folder."""
        name = f"localhost/{image}:test"
        if name in self._built:
            return name
        trust = self.folder / "pip.conf"
        trust.write_text(f"[global]\ncert = {TRUST}\n")
        flags = ["--isolation=chroot", "--pull-never", "--network=host", "--layers", f"--build-arg=BASE={BASE}", *more]
        # This machine's registries may be reached by a certificate of its own; it does not end up in the image.
        flags += [f"--volume={TRUST}:{TRUST}:ro", f"--volume={trust}:/etc/pip.conf:ro"]
        self._run("bud", *flags, f"--tag={name}", str(folder), seconds=BUILD_SECONDS)
        self._built.add(name)
        return name

    def config(self, image: str) -> Object:
        """The image's own configuration: User, Env, Entrypoint and so on."""
        found: Object = json.loads(self._run("inspect", "--type=image", image))
        return found["OCIv1"]["config"]

    def export(self, image: str) -> Path:
        """The image as a file that containerd imports."""
        archive = self.folder / f"{image.replace('/', '-').replace(':', '-')}.tar"
        self._run("push", "--quiet", "--disable-compression", image, f"oci-archive:{archive}:{image}")
        return archive

    @contextmanager
    def files(self, image: str) -> Iterator[Path]:
        """The image's root, for as long as the context lasts."""
        container = self._run("from", "--pull-never", image).strip()
        try:
            yield Path(self._run("mount", container).strip())
        finally:
            self._run("umount", container)
            self._run("rm", container)

    def _run(self, *arguments: str, seconds: float = STEP_SECONDS) -> str:
        done = subprocess.run([*self._buildah, *arguments], capture_output=True, text=True, timeout=seconds)
        assert done.returncode == 0, f"buildah {' '.join(arguments)}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout


class Container(Program):
    """An image's command as a Kubernetes would start it: its own user, a read-only root, /tmp to write to.

    It shares the machine's network, to reach what a test serves on loopback. `mounts` are files and folders to read.
    """

    def __init__(
        self,
        root: Path,
        config: Object,
        arguments: list[str],
        folder: Path,
        ready: Callable[[], bool],
        *,
        env: dict[str, str] | None = None,
        mounts: dict[str, Path] | None = None,
    ) -> None:
        self.id = f"leaderboard-{uuid4().hex[:12]}"
        self.folder = folder / self.id
        self.folder.mkdir()
        bundle = _bundle(root, config, arguments, env or {}, mounts or {})
        (self.folder / "config.json").write_text(json.dumps(bundle))
        self._runc = [str(shutil.which("runc")), f"--root={self.folder}/state"]
        command = [*self._runc, "run", f"--bundle={self.folder}", f"--pid-file={self.folder}/pid", self.id]
        super().__init__(command, self.folder / "log", ready)

    @property
    def pid(self) -> int:
        """Its first process, as this machine counts."""
        return int((self.folder / "pid").read_text())

    def close(self) -> None:
        """Make sure that it is gone, with all that it started."""
        subprocess.run([*self._runc, "delete", "--force", self.id], capture_output=True, timeout=STEP_SECONDS)
        super().close()


def _bundle(root: Path, config: Object, arguments: list[str], env: dict[str, str], mounts: dict[str, Path]) -> Object:
    user, _, group = config["User"].partition(":")
    namespaces = ("pid", "mount", "ipc", "uts")
    read_only = [
        {"destination": inside, "type": "bind", "source": str(outside), "options": ["rbind", "ro", "nosuid", "nodev"]}
        for inside, outside in mounts.items()
    ]
    return {
        "ociVersion": "1.0.2",
        "root": {"path": str(root), "readonly": True},
        "process": {
            "user": {"uid": int(user), "gid": int(group)},
            "args": [*config["Entrypoint"], *arguments],
            "env": [*config["Env"], *(f"{name}={text}" for name, text in env.items())],
            "cwd": config["WorkingDir"],
            "noNewPrivileges": True,
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]},
            *read_only,
        ],
        "linux": {"namespaces": [{"type": each} for each in namespaces]},
    }


def base_files() -> Path:
    """Debian's smallest system with Python, of the release that this machine runs; made once."""
    release = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.MULTILINE)[1]
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    archive = caches / "leaderboard" / "images" / f"{release}-{platform.machine()}.tar"
    if archive.exists():
        return archive
    scratch = archive.with_name(f".{uuid4().hex}")
    scratch.mkdir(parents=True)
    try:
        command = ["debootstrap", "--variant=minbase", "--include=python3,ca-certificates", release, f"{scratch}/root"]
        done = subprocess.run([*command, _mirror()], capture_output=True, text=True, timeout=BUILD_SECONDS)
        assert done.returncode == 0, f"{done.stdout[-3000:]}{done.stderr}"
        _pack(scratch / "root", scratch / "base.tar")
        (scratch / "base.tar").replace(archive)
    finally:
        shutil.rmtree(scratch)
    return archive


def _pack(root: Path, archive: Path) -> None:
    without = ("./dev/*", "./proc/*", "./sys/*", "./var/cache/apt/archives/*.deb", "./var/lib/apt/lists/*")
    flags = ["--numeric-owner", *(f"--exclude={each}" for each in without)]
    subprocess.run(["tar", f"--directory={root}", *flags, "--create", f"--file={archive}", "."], check=True)


def _mirror() -> str:
    """Where this machine's own packages come from."""
    lists = [*sorted(Path("/etc/apt/sources.list.d").glob("*.sources")), Path("/etc/apt/sources.list")]
    for path in lists:
        text = path.read_text() if path.exists() else ""
        found = re.search(r"^(?:URIs:|deb(?: \[.*?\])?)\s+(\S+)", text, re.MULTILINE)
        if found is not None:
            return found[1]
    sys.exit("apt has no source of packages")
