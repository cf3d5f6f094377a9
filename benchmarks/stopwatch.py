"""Measure what the stages of some work take, of computing and in all."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class Spent(NamedTuple):
    """What a stage took: computing, that of decoder processes included, and in all."""

    cpu_ms: float
    wall_ms: float

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.cpu_ms - other.cpu_ms, self.wall_ms - other.wall_ms)


class Stopwatch:
    """Times of the stages of one lap; a stage may lie in another.

    Args:
        clock: seconds of computing; `time.thread_time` for what one thread does.
    """

    def __init__(self, clock: Callable[[], float] = time.thread_time) -> None:
        self._clock = clock
        self._children: list[int] = []
        self._spent = defaultdict[str, Spent](lambda: Spent(0, 0))

    def time(self, stage: str, work: Callable[..., T], *args: Any) -> T:
        """Do some work and add what it took to its stage."""
        cpu, wall = self._cpu_s(), time.perf_counter()
        result = work(*args)
        wall, cpu = time.perf_counter() - wall, self._cpu_s() - cpu
        before = self._spent[stage]
        self._spent[stage] = Spent(before.cpu_ms + 1e3 * cpu, before.wall_ms + 1e3 * wall)
        return result

    def lap(self, n_files: int = 1) -> dict[str, Spent]:
        """Give the times of one of the files that were worked on, and begin anew."""
        lap = {name: Spent(*(ms / n_files for ms in spent)) for name, spent in self._spent.items()}
        self._spent.clear()
        return lap

    def find_children(self) -> None:
        """From now on, count what the processes compute that this one has started."""
        import psutil

        self._children = [child.pid for child in psutil.Process().children(recursive=True)]

    def _cpu_s(self) -> float:
        # Linux has a clock of each process, exact where /proc counts hundredths of a second; its
        # number is made of the process id's bits (clock_getcpuclockid).
        return self._clock() + sum(time.clock_gettime(~pid << 3 | 2) for pid in self._children)
