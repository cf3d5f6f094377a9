"""The cores and memory that this process may use, and the workers that fit into them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import inf
from pathlib import Path

from serving.settings import Settings

# Unless more are asked for: a large machine may serve other programs as well.
MOST_WORKERS = 8
# Two workers took 540 to 600 MB right after 128 clients (PSS of all processes).
BYTES_A_WORKER = 300_000_000
# What each worker's environment holds before it starts; the operator's own values win.
WORKER_ENVIRON = {
    # Small matrices: a second BLAS thread costs more than it gives.
    "OPENBLAS_NUM_THREADS": "1",
    # Buffers of ordinary slices are kept and used again; those of large ones go back at once,
    # where glibc would learn to keep up to 32 MB of each thread's.
    "MALLOC_MMAP_THRESHOLD_": "4194304",
    "MALLOC_TRIM_THRESHOLD_": "8388608",
    "MALLOC_ARENA_MAX": "2",
}


def n_workers(settings: Settings) -> int:
    """Count the worker processes to start: as asked for, else as cores and memory allow."""
    if settings.workers:
        return settings.workers
    most = min(MOST_WORKERS, max(1.0, usable_bytes() // BYTES_A_WORKER))
    return min(usable_cores(), int(most))


def usable_cores(root: Path = Path("/")) -> int:
    """Count the processes that can compute at the same time; at least 1.

    Args:
        root: under which /proc and /sys/fs/cgroup are.
    """
    if hasattr(os, "sched_getaffinity"):
        n_cores = len(os.sched_getaffinity(0))
    else:
        n_cores = os.cpu_count() or 1
    # Rounded down: one and a half cores are not two.
    return max(1, int(min(n_cores, core_limit(root))))


def usable_bytes(root: Path = Path("/")) -> float:
    """Return the memory that the control groups allow; infinite without a limit."""
    return min(map(_bytes_of, _groups(root, "memory")), default=inf)


def core_limit(root: Path) -> float:
    """Return the smallest limit of the control groups, in cores; infinite without one."""
    return min(map(_cores_of, _groups(root, "cpu")), default=inf)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """List the folders of the control groups, each before its parent."""
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
        # In a container the name may be that on the host, while the group is mounted as the root.
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
