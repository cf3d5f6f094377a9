"""Process items in threads, a few ahead, and take the results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_A = TypeVar("_A")
_B = TypeVar("_B")

# Numpy releases the interpreter lock for parts of the decoding only: more threads gain nothing.
THREADS = 4
_AHEAD = 16  # results that wait, at most


def in_order(pool: ThreadPoolExecutor, work: Callable[[_A], _B], of: Iterable[_A]) -> Iterator[_B]:
    """Process items in the pool, a few ahead of the caller; yields the results in order."""
    waiting = deque[Future[_B]]()
    for item in of:
        waiting.append(pool.submit(work, item))
        if len(waiting) > _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
