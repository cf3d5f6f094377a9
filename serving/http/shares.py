"""Tell the workers how many connections each of them holds: a few numbers in shared memory."""

from __future__ import annotations

import mmap
import os
import time
from functools import cache

from serving.telemetry import log

# The supervisor's descriptor, which its workers inherit.
_VARIABLE = "SPINE_SHARES_FD"
# Without a sign of life for so long, a worker takes no connections: it is busy, or dead.
SILENT_AFTER_MS = 300
_FIELDS = 2  # connections, when that was said


class Shares:
    """The table as one worker sees it.

    Args:
        memory: shared by the workers.
        index: of this worker, from 0.
    """

    def __init__(self, memory: mmap.mmap, index: int) -> None:
        self._table = memoryview(memory).cast("q")
        self._mine = _FIELDS * index
        self._has_left = False

    def hold(self, n_connections: int) -> None:
        """Say how many connections this worker holds, and that it is there."""
        if self._has_left:
            return
        self._table[self._mine] = n_connections
        self._table[self._mine + 1] = _now_ms()

    def leave(self) -> None:
        """Say that this worker takes no more connections."""
        self._has_left = True
        self._table[self._mine + 1] = 0

    def are_above(self, n_connections: int) -> bool:
        """Whether every other worker that takes connections holds at least so many."""
        since = _now_ms() - SILENT_AFTER_MS
        table = self._table
        return not any(
            table[at] < n_connections and table[at + 1] > since
            for at in range(0, len(table), _FIELDS)
            if at != self._mine
        )


def share(n_workers: int) -> None:
    """Make the table for the workers that this process will start."""
    if n_workers > 1 and hasattr(os, "memfd_create"):
        file = os.memfd_create("spine-shares", 0)  # without CLOEXEC: it is inherited
        os.truncate(file, n_workers * _FIELDS * 8)
        os.environ[_VARIABLE] = str(file)


@cache
def shares() -> Shares | None:
    """The table, if this process is one of several workers."""
    from bentoml._internal.context import server_context

    text, number = os.environ.get(_VARIABLE, ""), server_context.worker_index
    if not text.isdigit() or number is None:
        return None
    try:
        memory = mmap.mmap(int(text), 0)
    except (OSError, ValueError) as error:
        log.warning("connections may be shared unevenly: %s", type(error).__name__)
        return None
    if number * _FIELDS * 8 > len(memory):
        log.warning("connections may be shared unevenly: worker %d has no place", number)
        return None
    return Shares(memory, number - 1)


def _now_ms() -> int:
    """One clock for all processes of the machine."""
    return int(time.monotonic() * 1e3)
