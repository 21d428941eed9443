"""Build the images, the chart's package, a bill of materials and their checksums into a folder.

Nothing is pushed: `dist/` holds the images as OCI archives, for `skopeo copy oci-archive:… docker://…`.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tornado_app import __version__

ROOT = Path(__file__).parents[1]
IMAGES = ("app", "operator")
EXTRAS = ("", "tracing", "operator")
"""The extras of the packages in the images; the first is none."""

BUILDERS = ("buildah", "docker", "podman")


def main(argv: Sequence[str] | None = None) -> int:
    """Build what is not skipped; the exit code."""
    parser = argparse.ArgumentParser(prog="make release", description=__doc__)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="folder that is written anew (dist)")
    parser.add_argument("--base", default="", metavar="IMAGE", help="base image; by default the Dockerfile's")
    parser.add_argument("--skip-images", action="store_true", help="build no images")
    parser.add_argument("--helm", default="helm", metavar="PROGRAM", help="the program helm (that of the PATH)")
    options = parser.parse_args(argv)
    dist: Path = options.dist
    shutil.rmtree(dist, ignore_errors=True)
    dist.mkdir(parents=True)
    try:
        if not options.skip_images:
            build_images(dist, options.base)
        package_chart(dist, options.helm)
        write_materials(dist)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    write_checksums(dist)
    for path in sorted(dist.iterdir()):
        sys.stdout.write(f"{path.stat().st_size:>12,}  {path.name}\n")
    return 0


def build_images(dist: Path, base: str) -> None:
    """An OCI archive of each image. Raises FileNotFoundError if no tool can build one."""
    tool = next((each for each in BUILDERS if shutil.which(each)), None)
    if tool is None:
        raise FileNotFoundError(f"images need one of {', '.join(BUILDERS)}; or use --skip-images")
    flags = [f"--build-arg=BASE={base}"] if base else []
    for target in IMAGES:
        name, archive = f"leaderboard-{target}:{__version__}", dist / f"leaderboard-{target}-{__version__}.tar"
        if tool == "docker":
            _run(tool, "buildx", "build", *flags, f"--target={target}", f"--output=type=oci,dest={archive}", str(ROOT))
        else:
            _run(tool, "build", *flags, f"--target={target}", f"--tag={name}", str(ROOT))
            _run(tool, "push", name, f"oci-archive:{archive}:{name}")


def package_chart(dist: Path, helm: str) -> None:
    """The chart as `helm push` takes it."""
    _run(helm, "package", str(ROOT / "helm" / "leaderboard"), f"--destination={dist}")


def write_materials(dist: Path) -> None:
    """The Python packages of the images, with their versions, as CycloneDX."""
    requirements = "".join(f"{name}=={version}\n" for name, version in sorted(materials()))
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "-", "--output-reproducible"]
    path = dist / f"leaderboard-{__version__}.cdx.json"
    command += ["--output-format=JSON", f"--output-file={path}"]
    subprocess.run(command, input=requirements, text=True, check=True)  # noqa: S603 - this Python, names of packages


def materials() -> Iterator[tuple[str, str]]:
    """Name and version of each package in the images, from this environment (constraints.txt)."""
    seen = {("leaderboard", extra) for extra in EXTRAS}
    waiting, found = list(seen), set[str]()
    while waiting:
        name, extra = waiting.pop()
        package = distribution(name)
        if name not in found:
            found.add(name)
            yield name, package.version
        for text in package.requires or ():
            needed = Requirement(text)
            if needed.marker is not None and not needed.marker.evaluate({"extra": extra}):
                continue
            for wanted in ("", *needed.extras):
                key = (canonicalize_name(needed.name), wanted)
                if key not in seen:
                    seen.add(key)
                    waiting.append(key)


def write_checksums(dist: Path) -> None:
    """SHA256SUMS, for `sha256sum --check`."""
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(dist.iterdir())]
    (dist / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def _run(*command: str) -> None:
    sys.stdout.write(f"{' '.join(command[:2])} …\n")
    sys.stdout.flush()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - what PATH and the caller name


if __name__ == "__main__":
    sys.exit(main())
