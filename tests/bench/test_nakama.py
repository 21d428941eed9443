"""The peer Nakama where its programs are not installed."""

from __future__ import annotations

import pytest

from bench import __main__ as command
from bench.generator import Generator
from bench.peers import nakama
from bench.processes import Failed, Missing


def test_nakama_without_postgresql_names_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(nakama, "POSTGRESQL_PROGRAMS", tmp_path)
    with pytest.raises(Missing, match="apt-get install postgresql"):
        nakama.postgresql()


def test_nakama_without_go_names_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("bench.building.CACHE", tmp_path)
    with pytest.raises(Missing, match="golang-go"):
        nakama.nakama()


def test_postgresql_outside_the_path_is_the_newest(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(nakama, "POSTGRESQL_PROGRAMS", tmp_path)
    for version in ("9", "15", "14"):
        program = tmp_path / version / "bin" / "initdb"
        program.parent.mkdir(parents=True)
        program.touch()
    assert nakama.postgresql() == tmp_path / "15" / "bin"


@pytest.mark.parametrize(("error", "code"), [(Missing("install it"), 0), (Failed("it broke"), 1)])
def test_bench_fails_with_a_failed_benchmark_but_not_without_a_peer(monkeypatch, capsys, error, code):
    def run(_):
        raise error

    monkeypatch.setattr(command, "MEASURES", {"nakama": run})
    monkeypatch.setattr(Generator, "build", lambda core: Generator(None, core))
    monkeypatch.setattr(command.signal, "signal", lambda *_: None)  # which would stay
    monkeypatch.setattr("sys.argv", ["bench", "nakama"])
    assert command.main() == code
    assert f"**Not measured**: {error}\n" in capsys.readouterr().out
