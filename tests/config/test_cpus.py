"""The available processors by affinity and cgroup quotas."""

import os
import subprocess
import sys

import pytest

from tornado_app.runtime import cpu_quota

HERE = 8


@pytest.fixture(autouse=True)
def eight(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(HERE)), raising=False)


def available(tmp_path, groups, files):
    """The number where the kernel shows these groups and these files below its mount."""
    (tmp_path / "cgroup").write_text(groups)
    for name, text in files.items():
        path = tmp_path / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return cpu_quota.available_cpus(tmp_path / "cgroup", tmp_path / "mount")


@pytest.mark.parametrize(
    ("quota", "count"),
    [("max 100000", HERE), ("200000 100000", 2), ("250000 100000", 2), ("50000 100000", 1), ("9900000 100000", HERE)],
)
def test_cpu_quota_of_the_own_group(tmp_path, quota, count):
    assert available(tmp_path, "0::/pod/me\n", {"pod/me/cpu.max": f"{quota}\n"}) == count


def test_cpu_quota_of_a_parent_group_applies(tmp_path):
    files = {"pod/me/cpu.max": "max 100000\n", "pod/cpu.max": "300000 100000\n", "cpu.max": "700000 100000\n"}
    assert available(tmp_path, "0::/pod/me\n", files) == 3


def test_cpu_quota_of_a_container_is_read_from_the_root(tmp_path):
    assert available(tmp_path, "0::/kubepods/pod1/c1\n", {"cpu.max": "400000 100000\n"}) == 4


@pytest.mark.parametrize(("quota", "count"), [("-1", HERE), ("300000", 3), ("20000", 1)])
def test_cpu_quota_of_cgroups_version_1(tmp_path, quota, count):
    files = {"cpu,cpuacct/me/cpu.cfs_quota_us": quota, "cpu,cpuacct/me/cpu.cfs_period_us": "100000\n"}
    assert available(tmp_path, "5:memory:/other\n4:cpu,cpuacct:/me\n", files) == count


def test_cpu_quota_without_readable_control_groups_is_unset(tmp_path):
    assert cpu_quota.available_cpus(tmp_path / "none", tmp_path) == HERE
    assert available(tmp_path, "0::/\n", {"cpu.max": "nonsense\n"}) == HERE


def test_cpu_affinity_of_a_real_process_counts():
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("only Linux has affinities")
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from tornado_app.runtime import cpu_quota; print(cpu_quota.available_cpus())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "1\n"
