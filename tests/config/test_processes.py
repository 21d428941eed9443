"""The number of processes: a number, or auto."""

import platform

import pytest

from tornado_app.config import load_config
from tornado_app.core.errors import ConfigError
from tornado_app.runtime import cpu_quota


@pytest.mark.parametrize(("text", "count"), [("1", 1), ("2", 2), ("256", 256), ("auto", 6)])
def test_processes_setting_accepts_a_number_or_auto(monkeypatch, text, count):
    monkeypatch.setattr(cpu_quota, "available_cpus", lambda: 6)
    assert load_config({"processes": text}, {}).process_count == count
    assert load_config({}, {"LEADERBOARD_PROCESSES": text}).process_count == count


def test_processes_in_a_file_is_a_number_or_auto(tmp_path):
    for line, processes in (("processes: 3", 3), ("processes: auto", "auto"), ('processes: "3"', 3)):
        path = tmp_path / "settings.yaml"
        path.write_text(line)
        assert load_config({"config": str(path)}, {}).processes == processes


def test_processes_default_is_one():
    assert load_config({}, {}).process_count == 1


@pytest.mark.parametrize("text", ["0", "-1", "257", "1.5", "two", "AUTO"])
def test_processes_of_other_values_is_an_error(text):
    with pytest.raises(ConfigError, match=r"^processes \(--processes\): .*a whole number of 1 to 256, or auto"):
        load_config({"processes": text}, {})


def test_processes_beyond_one_are_refused_outside_linux(monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    with pytest.raises(ConfigError, match="only Linux distributes the connections to one port among processes"):
        load_config({"processes": "2"}, {})
    assert load_config({"processes": "auto"}, {}).process_count == 1
    assert load_config({"processes": "1"}, {}).process_count == 1
