"""The client package as its users get it: packed, compiled, installed beside the pinned packages of the consumer."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.support.npm import packages
from tests.support.project import ROOT
from tests.support.requirements import missing

PACKAGE = ROOT / "clients" / "js"
CONSUMER = Path(__file__).with_name("consumer")
NAME = "@leaderboard/client"
NODE = (20, 19)
DECLARATIONS = (
    "--declaration --emitDeclarationOnly --allowJs --checkJs --strict "
    "--target es2022 --module esnext --moduleResolution bundler --lib es2023,dom,dom.iterable"
)
SECONDS = 100


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """What a program printed; a failure is an assertion with its output."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def node() -> str:
    """The path of a Node.js that the package supports; without one the test is skipped."""
    found = shutil.which("node")
    version = () if found is None else tuple(map(int, run(found, "-p", "process.versions.node", cwd=ROOT).split(".")))
    if found is None or version < NODE:
        missing(f"The client package's tests need Node.js {NODE[0]}.{NODE[1]} or newer")
    assert found is not None
    return found


def consumer_packages() -> Path:
    """`node_modules` of the consumer, without the client."""
    node()
    return packages(CONSUMER / "package-lock.json", "the client package's consumer", optional=True)


def declarations(folder: Path) -> dict[str, str]:
    """The `.d.ts` of each module, by name; the compiler also checks the modules, and an error fails."""
    modules = consumer_packages()
    source, out = folder / "source", folder / "types"
    source.mkdir()
    for module in (PACKAGE / "src").glob("*.js"):
        shutil.copy(module, source)  # alone: beside its declarations a module would be checked by them
    compiler = modules / "typescript" / "bin" / "tsc"
    names = [f"source/{module.name}" for module in sorted(source.iterdir())]
    run(node(), compiler, *DECLARATIONS.split(), "--outDir", out, "--rootDir", source, *names, cwd=folder)
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(out.iterdir())}


def pack(folder: Path) -> Path:
    """The tarball that `npm pack` makes."""
    printed = run("npm", "pack", "--json", "--ignore-scripts", "--pack-destination", folder, cwd=PACKAGE)
    found = json.loads(printed)
    entry = found[0] if isinstance(found, list) else next(iter(found.values()))  # npm 12 prints an object
    return folder / entry["filename"]


def install(tarball: Path, folder: Path) -> None:
    """As `npm install` does where there are no dependencies: the tarball's content, beside the consumer's packages."""
    modules = folder / "node_modules"
    target = modules / NAME
    target.parent.mkdir(parents=True)
    for entry in consumer_packages().iterdir():
        (modules / entry.name).symlink_to(entry)
    with tarfile.open(tarball) as archive:
        archive.extractall(target.parent, filter="data")
    (target.parent / "package").rename(target)


def write_declarations(folder: Path) -> None:
    """Write the `.d.ts` beside their modules: `python -m tests.clients.js.toolchain`."""
    for name, text in declarations(folder).items():
        (PACKAGE / "src" / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        write_declarations(Path(place))
    sys.stdout.write("clients/js/src/*.d.ts are in step with the modules\n")
