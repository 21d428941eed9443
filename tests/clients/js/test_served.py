"""The service serves the package's own modules and types; wheel and image contain them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tornado.httputil import HTTPHeaders

from tests.clients.js.toolchain import PACKAGE
from tests.support.project import ROOT
from tornado_app.api import pages
from tornado_app.http.messages import Request, Response

SOURCE = sorted((PACKAGE / "src").iterdir())


@pytest.mark.parametrize("file", SOURCE, ids=lambda file: file.name)
def test_module_is_served_beside_its_types(file: Path) -> None:
    [route] = [route for route in pages.static_routes() if route.path == f"/static/{file.name}"]
    answer = route.methods["GET"](Request("GET", route.path, HTTPHeaders()))
    assert isinstance(answer, Response)
    headers = dict(answer.headers)
    assert answer.body == file.read_bytes()
    assert headers["Content-Type"] == ("text/plain" if file.suffix == ".ts" else "text/javascript") + "; charset=utf-8"
    assert headers["Access-Control-Allow-Origin"] == "*"


def test_every_import_of_a_served_module_is_served() -> None:
    paths = {route.path for route in pages.static_routes()}
    modules = [file for folder in (PACKAGE / "src", ROOT / "tornado_app" / "web") for file in folder.glob("*.js")]
    for module in modules:
        for name in re.findall(r'(?:from|^import) "\./([\w.-]+)";', module.read_text(encoding="utf-8"), re.MULTILINE):
            assert f"/static/{name}" in paths, f"{module.name} imports {name}"


def test_files_of_the_dockerfile_build_with_the_client(tmp_path: Path) -> None:
    """Of exactly those files, none of which .dockerignore leaves out: what the image and the wheel are made of."""
    stage = (ROOT / "Dockerfile").read_text(encoding="utf-8").partition("AS build\n")[2].partition("FROM build ")[0]
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    context = tmp_path / "src"
    for line in re.findall(r"^COPY (.+)$", stage, re.MULTILINE):
        *names, target = line.split()
        for name in names:
            assert f"!{name}" in ignored
            place = context / (name if target == "./" else target)
            place.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_dir():
                ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
                shutil.copytree(ROOT / name, place, symlinks=True, ignore=ignore)
            else:
                shutil.copy(ROOT / name, place)
    command = [sys.executable, "-W", "ignore", "-c", "from setuptools import setup; setup()"]
    command += ["build_py", "--build-lib", str(tmp_path / "built")]
    done = subprocess.run(command, cwd=context, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    built = {file.name: file.read_bytes() for file in (tmp_path / "built" / "tornado_app" / "web" / "client").iterdir()}
    assert built == {file.name: file.read_bytes() for file in SOURCE}
