"""Read what a container's control group counts, from inside the container."""

from __future__ import annotations

from dataclasses import dataclass

# Version 2 has all in one folder; version 1 has other names for the same.
COMMAND = (
    "cd /sys/fs/cgroup; [ -f memory.current ] || cd memory;"
    " for name in memory.current memory.usage_in_bytes memory.peak memory.max_usage_in_bytes; do"
    " [ ! -f $name ] || echo $name $(cat $name); done;"
    " cat memory.stat memory.events memory.oom_control 2> /dev/null || true"
)


@dataclass(frozen=True)
class Memory:
    """The memory of a container, bytes.

    Args:
        used: without the page cache that nothing holds, as `docker stats` counts.
        peak: the most that was counted, page cache included; 0 where the kernel does not count it.
        n_killed: processes that were killed because the limit was reached.
    """

    used: int
    peak: int
    n_killed: int


def parse(text: str) -> Memory:
    """Read what COMMAND printed."""
    counted = {name: int(value) for name, value in map(str.split, text.splitlines())}

    def first(*names: str) -> int:
        return next((counted[name] for name in names if name in counted), 0)

    usage = first("memory.current", "memory.usage_in_bytes")
    assert usage, f"no control group is readable there: {text}"
    return Memory(
        used=usage - first("total_inactive_file", "inactive_file"),
        peak=first("memory.peak", "memory.max_usage_in_bytes"),
        n_killed=counted["oom_kill"],
    )
