"""Count the cores that this process may use: its affinity, and the limits of its control groups."""

from __future__ import annotations

import os
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
    # Rounded down: a process that gets half a core answers half of its requests late.
    return max(1, int(min(n_cores, group_limit(root))))


def group_limit(root: Path) -> float:
    """The smallest limit of this process's control groups, in cores; infinite without one."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return inf
    limit = inf
    for line in lines:
        _, controllers, name = line.split(":", 2)
        mounted = root / "sys/fs/cgroup"
        if controllers:  # version 1
            if "cpu" not in controllers.split(","):
                continue
            mounted /= "cpu"
        # In a container the name may be that of the machine, and the group is mounted as the root.
        group = mounted / name.lstrip("/")
        for folder in (group, *group.parents):
            limit = min(limit, _limit_of(folder))
            if folder == mounted:
                break
    return limit


def _limit_of(folder: Path) -> float:
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
