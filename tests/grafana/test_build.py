"""Errors of Grafana's build; test_grafana.py shows that a built one works."""

from __future__ import annotations

import pytest

from tests.grafana import build
from tests.support.building import BuildError, NotBuiltError


@pytest.fixture
def nothing_built(monkeypatch, tmp_path):
    """A machine that never built anything."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    return tmp_path


def test_missing_grafana_names_the_build_command(nothing_built):
    with pytest.raises(NotBuiltError, match="`make test-grafana` builds it"):
        build.home()


def test_build_without_tools_names_them(nothing_built, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(nothing_built))
    assert build.main() == 1
    assert "install: go 1.26 or newer, gcc, node." in capsys.readouterr().err


def test_build_of_changed_sources_fails_and_leaves_nothing(nothing_built, monkeypatch):
    source = nothing_built / "module"
    for name in build.PATCHES:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("something else", encoding="utf-8")
    monkeypatch.setattr(build, "MODULE", source.name)
    monkeypatch.setattr(build, "_run", lambda *command, folder, **_: f"{nothing_built}\n" if "env" in command else "")
    with pytest.raises(BuildError, match="xlsx"):
        build.build()
    assert list(nothing_built.rglob(".building-*")) == []
    assert not list(nothing_built.rglob("grafana/*/bin"))
