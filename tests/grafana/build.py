"""Builds a real Grafana of its Go module and npm packages, once: `python -m tests.grafana.build`.

No package registry has a Grafana to install. What is built, 220 MB, is kept in ~/.cache/leaderboard/grafana, in a
folder for each version and way to build it. Two cores take some thirteen minutes, and 2.9 GB of memory.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.building import GO, BuildError, NotBuiltError, cache_folder, go_version, one_at_a_time, say

HERE = Path(__file__).parent
MODULE = "github.com/grafana/grafana@v1.9.2-0.20230609164553-81d85ce8028d"
"""The last version that was published as a Go module with its frontend in it; it calls itself 10.0.0-preview."""
WIRE = "github.com/google/wire/cmd/wire@v0.7.0"
NODE = 20
KEPT = ("bin", "conf", "public")

PATCHES = {
    "package.json": [(r'"xlsx": "https://[^"]*"', '"xlsx": "0.18.5"')],  # the one package that is on no registry
    "scripts/webpack/webpack.prod.js": [(r"devtool: 'source-map'", "devtool: false")],
    "scripts/webpack/sass.rule.js": [  # a newer Node does not find the configuration by its folder
        (r"config: path\.resolve\(__dirname\),", "config: false, plugins: [require('autoprefixer')],")
    ],
}
"""What of the sources is changed: a pattern and what takes its place, for each file."""
FLOT = ("", ".selection", ".time", ".stack", ".stackpercent", ".fillbelow", ".crosshair", ".dashes", ".gauge")
STUBS = {
    "tagsinput/bootstrap-tagsinput.js": "",
    **{f"flot/jquery.flot{plugin}.js": "" for plugin in FLOT},
    "bootstrap/bootstrap.js": """const $ = require('jquery');
for (const name of ['tooltip', 'popover', 'dropdown', 'modal', 'tab', 'typeahead', 'button', 'collapse']) {
  if (!$.fn[name]) {
    $.fn[name] = function () { return this; };
    Object.assign($.fn[name], { defaults: {}, Constructor: function () {} });
  }
}
""",
}
"""What a Go module leaves out, folders named vendor. The panels `gauge` and `graph` need it, and are not drawn."""
FRONTEND = """const config = require('./scripts/webpack/webpack.prod.js')({ noMinify: 1, production: true });
config.cache = false;
require('webpack')(config, (error, stats) => {
  if (error) throw error;
  const { errors } = stats.toJson({ all: false, errors: true });
  for (const each of errors.slice(0, 20)) console.error(each.moduleName, (each.message || '').slice(0, 500));
  process.exit(errors.length ? 1 : 0);
});
"""
YARN = ("node", ".yarn/releases/yarn-3.4.1.cjs")


def home() -> Path:
    """Grafana's home folder, with `bin/grafana` in it; never builds, as that takes longer than any test may."""
    folder = _folder()
    if not (folder / "bin" / "grafana").exists():
        raise NotBuiltError(
            "Grafana is not built. `make test-grafana` builds it, once, in about thirteen minutes, "
            f"where Go {GO[0]}.{GO[1]}, gcc and Node {NODE} or newer are installed."
        )
    return folder


def build() -> None:
    """Build Grafana if it is not there yet. Safe to interrupt, and to run twice at the same time."""
    folder = _folder()
    with one_at_a_time(folder, "Grafana"):
        if (folder / "bin" / "grafana").exists():
            return
        with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as scratch:
            source = Path(scratch) / "src"
            _fetch(source)
            _backend(source)
            _frontend(source, Path(scratch) / "yarn")
            for name in reversed(KEPT):  # the program comes last: where it is, the rest is
                shutil.rmtree(folder / name, ignore_errors=True)
                (source / name).replace(folder / name)


def _fetch(source: Path) -> None:
    say("Fetching Grafana's sources (1 of 3, once)")
    _run("go", "mod", "download", MODULE, folder=HERE)
    modules = Path(_run("go", "env", "GOMODCACHE", folder=HERE).strip())
    shutil.copytree(modules / MODULE, source, copy_function=shutil.copyfile)
    for path in (source, *source.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    for name, changes in PATCHES.items():
        text = (source / name).read_text(encoding="utf-8")
        for pattern, to in changes:
            text, found = re.subn(pattern, to, text)
            if not found:
                raise BuildError(f"{name} of {MODULE} has no {pattern}")
        (source / name).write_text(text, encoding="utf-8")
    for name, text in STUBS.items():
        path = source / "public" / "vendor" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _backend(source: Path) -> None:
    say("Building Grafana's server (2 of 3, once)")
    tools = source / "bin"
    _run("go", "install", WIRE, folder=HERE, GOBIN=str(tools))
    flags = {"GOFLAGS": "-mod=mod -buildvcs=false", "CGO_ENABLED": "1"}
    _run(str(tools / "wire"), "gen", "-tags", "oss", "./pkg/server", folder=source, **flags)
    options = ("-tags=oss", "-ldflags", "-s -w -X main.version=10.0.0-preview", "-o", "bin/grafana")
    _run("go", "build", *options, "./pkg/cmd/grafana", folder=source, **flags)
    (tools / "wire").unlink()


def _frontend(source: Path, packages: Path) -> None:
    say("Building Grafana's pages (3 of 3, once)")
    (source / "build-pages.js").write_text(FRONTEND, encoding="utf-8")
    quiet = {"CYPRESS_INSTALL_BINARY": "0", "PUPPETEER_SKIP_DOWNLOAD": "1", "HUSKY": "0"}
    quiet |= {"YARN_ENABLE_TELEMETRY": "0", "YARN_ENABLE_PROGRESS_BARS": "false", "YARN_GLOBAL_FOLDER": str(packages)}
    _run(*YARN, "install", "--no-immutable", folder=source, **quiet)
    production = {"NODE_ENV": "production", "NODE_OPTIONS": "--max-old-space-size=8192"}
    _run(*YARN, "node", "build-pages.js", folder=source, **quiet, **production)


def _run(*command: str, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"GOWORK": "off"} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise BuildError(f"{' '.join(command)}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def _folder() -> Path:
    return cache_folder("grafana", MODULE, WIRE, FRONTEND, repr((PATCHES, STUBS, KEPT)))


def main() -> int:
    """Build, or say what is missing."""
    missing = [name for name in ("gcc", "node") if shutil.which(name) is None]
    if go_version(HERE) is None:
        missing.insert(0, f"go {GO[0]}.{GO[1]} or newer")
    if missing and not (_folder() / "bin" / "grafana").exists():
        say(f"Grafana cannot be built; install: {', '.join(missing)}.")
        return 1
    try:
        build()
    except BuildError as error:
        say(f"Grafana cannot be built: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
