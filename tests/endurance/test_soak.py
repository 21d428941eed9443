"""A short soak: load, counts and graphs."""

import csv
import shutil

import pytest

from tests.endurance import graphs, soak
from tests.support.requirements import missing


@pytest.fixture
def small(monkeypatch):
    if shutil.which("go") is None:
        missing("the load generator needs a Go compiler: apt-get install golang-go, or go.dev/dl")
    for name, value in {"MINUTE": 4.0, "SOCKETS": 20, "PLAYERS": 3000, "CONNECTIONS": 8}.items():
        monkeypatch.setattr(soak, name, value)


def test_short_soak_passes(small, capsys, tmp_path):
    assert soak.main("1s") == 0
    printed, messages = capsys.readouterr()
    (row,) = csv.DictReader(printed.splitlines())
    assert float(row["updates_per_s"]) > 0
    assert (float(row["sockets"]), float(row["refused"])) == (20, 0)
    assert "none lost, none doubled" in messages
    assert "0 differences" in messages
    source = tmp_path / "soak.csv"
    source.write_text(printed)
    graphs.main(str(source), str(tmp_path / "soak.svg"))
    drawn = (tmp_path / "soak.svg").read_text()
    assert all(f"<!-- {title} -->" in drawn for title in graphs.GRAPHS)


def test_soak_reports_missing_and_excess_values(monkeypatch):
    monkeypatch.setattr(soak, "points_of", lambda system: 100)
    monkeypatch.setattr(soak, "top_shown", lambda system: [1])
    monkeypatch.setattr(soak, "top_kept", lambda system: [1])
    monkeypatch.setattr(soak, "audited", lambda system: [])
    assert list(soak.odd(None, 100, 100)) == []
    for least, most in ((101, 110), (90, 99)):
        (found,) = soak.odd(None, least, most)
        assert "there are 100 points" in found
