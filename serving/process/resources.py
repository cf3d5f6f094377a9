"""What this process may use of the machine: its affinity, and the limits of its control groups."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import inf
from pathlib import Path


def usable_cores(root: Path = Path("/")) -> int:
    """How many processes can compute at the same time; at least 1.

    Args:
        root: under which /proc and /sys/fs/cgroup are.
    """
    if hasattr(os, "sched_getaffinity"):
        n_cores = len(os.sched_getaffinity(0))
    else:
        n_cores = os.cpu_count() or 1
    # Rounded down: half a core is no second one.
    return max(1, int(min(n_cores, core_limit(root))))


def usable_bytes(root: Path = Path("/")) -> float:
    """The memory that this process's control groups allow; infinite without a limit."""
    return min(map(_bytes_of, _groups(root, "memory")), default=inf)


def core_limit(root: Path) -> float:
    """The smallest limit of this process's control groups, in cores; infinite without one."""
    return min(map(_cores_of, _groups(root, "cpu")), default=inf)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's control groups, each before the one that holds it."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        mounted = root / "sys/fs/cgroup"
        if controllers:  # version 1
            if controller not in controllers.split(","):
                continue
            mounted /= controller
        # In a container the name may be that of the machine, and the group is mounted as the root.
        group = mounted / name.lstrip("/")
        for folder in (group, *group.parents):
            yield folder
            if folder == mounted:
                break


def _cores_of(folder: Path) -> float:
    """The limit of one control group, in cores."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        return int(quota) / int(period) if quota not in ("max", "-1") else inf
    except (OSError, ValueError, ZeroDivisionError):
        return inf


def _bytes_of(folder: Path) -> float:
    """The limit of one control group, in bytes."""
    for name in ("memory.max", "memory.limit_in_bytes"):
        try:
            return int((folder / name).read_text())  # version 1 writes a huge one for none
        except (OSError, ValueError):
            continue
    return inf
