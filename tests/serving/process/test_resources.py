"""What a process may use of the machine, and how many workers that is."""

import os
from pathlib import Path

import pytest

from serving.process import resources
from serving.process.resources import (
    MOST_WORKERS,
    core_limit,
    n_workers,
    usable_bytes,
    usable_cores,
)
from serving.settings import Settings


def machine(root: Path, groups: str, **files: str) -> Path:
    """A folder with /proc/self/cgroup and files of /sys/fs/cgroup."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_half_a_core_is_one_process(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/\n", **{"cpu.max": "50000 100000\n"})
    assert core_limit(root) == 0.5
    assert usable_cores(root) == 1


def test_without_a_limit_the_affinity_counts(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/\n", **{"cpu.max": "max 100000\n"})
    # macOS has no affinity: there each core is usable.
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert usable_cores(root) == n_cores
    assert usable_cores(tmp_path / "nothing here") == n_cores


def test_the_smallest_limit_on_the_way_to_the_root_counts(tmp_path: Path) -> None:
    files = {"a/cpu.max": "150000 100000\n", "a/b/cpu.max": "max 100000\n"}
    assert core_limit(machine(tmp_path, "0::/a/b\n", **files)) == 1.5


def test_version_1_and_a_name_that_is_not_mounted_here(tmp_path: Path) -> None:
    groups = "5:memory:/docker/1\n4:cpuacct,cpu:/docker/1\n"
    files = {"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"}
    assert core_limit(machine(tmp_path, groups, **files)) == 2.5


@pytest.mark.parametrize("text", ["", "max", "50000 0", "many 100000"])
def test_what_cannot_be_read_limits_nothing(tmp_path: Path, text: str) -> None:
    assert core_limit(machine(tmp_path, "0::/\n", **{"cpu.max": text})) == float("inf")


def test_the_smallest_limit_of_memory_counts(tmp_path: Path) -> None:
    files = {"a/memory.max": "536870912\n", "a/b/memory.max": "max\n"}
    assert usable_bytes(machine(tmp_path, "0::/a/b\n", **files)) == 512 * 1024**2
    assert usable_bytes(tmp_path / "nothing here") == float("inf")


def test_memory_of_version_1(tmp_path: Path) -> None:
    files = {"memory/memory.limit_in_bytes": "1000000000\n"}
    assert usable_bytes(machine(tmp_path, "5:memory:/docker/1\n", **files)) == 1e9


@pytest.mark.parametrize(("limit", "expected"), [(1e8, 1), (5.4e8, 1), (1e9, 3), (1e12, 4)])
def test_as_many_workers_are_started_as_the_memory_holds(
    limit: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "usable_cores", lambda: 4)
    monkeypatch.setattr(resources, "usable_bytes", lambda: limit)
    assert n_workers(Settings()) == expected


def test_a_number_of_workers_that_was_asked_for_is_started() -> None:
    assert n_workers(Settings(workers=3)) == 3
    assert 1 <= n_workers(Settings()) <= MOST_WORKERS
