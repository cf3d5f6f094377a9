"""Keep the threads that read files, and give them to those who wait in a fair order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import TypeVar

from preprocessing import Storage
from preprocessing.decoding import process as decode_process
from preprocessing.decoding.process import MOST_PROCESSES, DecoderUnavailable
from serving.fairness import Claim, FairQueue
from serving.process.inspection import refuse_inspection
from serving.telemetry import log

Result = TypeVar("Result")


class Turns:
    """A few places on one event loop; who waits gets one in the order of a FairQueue.

    Args:
        places: that may be held at the same time.
    """

    def __init__(self, places: int) -> None:
        self._n_free = places
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()

    async def take(self, claim: Claim) -> None:
        """Wait for a place; give it back with `leave`."""
        if self._n_free:  # then nobody waits
            self._n_free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.put(turn, claim)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.leave()  # it had come in the same moment
            raise

    def leave(self) -> None:
        """Give a place to the next one."""
        while self._waiting:
            turn = self._waiting.get()
            if not turn.done():
                turn.set_result(None)
                return
        self._n_free += 1

    @asynccontextmanager
    async def held(self, claim: Claim) -> AsyncIterator[None]:
        """Hold a place while the body runs."""
        await self.take(claim)
        try:
            yield
        finally:
            self.leave()


class _Threads:
    """A pool whose queue is fair."""

    def __init__(self, n: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(n, thread_name_prefix=name)
        self._turns = Turns(n)

    async def run(self, work: Callable[[], Result], claim: Claim) -> Result:
        """Run work in a thread; its place is held until the thread is free, whoever went away."""
        await self._turns.take(claim)
        running = self._executor.submit(work)
        try:
            return await asyncio.wrap_future(running)
        finally:
            if running.done():
                self._turns.leave()
            else:
                loop = asyncio.get_running_loop()
                running.add_done_callback(lambda _: loop.call_soon_threadsafe(self._turns.leave))

    def close(self) -> None:
        """Start nothing more."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class Decoders:
    """The threads that read files: some for uncompressed pixels, some that wait for a decoder.

    They are two pools, so that a slow or hanging decoder never delays an uncompressed slice.

    Args:
        threads: of the first kind.
    """

    def __init__(self, threads: int) -> None:
        self._native = _Threads(threads, "read")
        self._compressed = _Threads(MOST_PROCESSES, "decode")
        self._large = Turns(1)

    async def run(self, storage: Storage, work: Callable[[], Result], claim: Claim) -> Result:
        """Do some work of a file in a thread of its kind, when its turn has come."""
        threads = self._compressed if storage == "compressed" else self._native
        return await threads.run(work, claim)

    def turn(self, claim: Claim) -> AbstractAsyncContextManager[None]:
        """Wait for the turn of a file that takes much memory or time: one is read at a time."""
        return self._large.held(claim)

    def close(self) -> None:
        """Start nothing more."""
        for threads in (self._native, self._compressed):
            threads.close()


@contextmanager
def starting_decoders(threads: int) -> Iterator[Decoders]:
    """Start the decoder process while the body loads the model, as cores allow.

    Started later, it would delay the first compressed slice. If it does not start, the worker logs
    that and serves: uncompressed slices need no decoder, and each compressed one tries again.
    """
    with ThreadPoolExecutor(1) as thread:
        starting = thread.submit(decode_process.start)
        yield Decoders(threads)
    try:
        if not starting.result():
            refuse_inspection()
            log.warning(
                "decoders run without a filter of system calls: this system lets none be set"
            )
    except DecoderUnavailable as error:
        log.critical("compressed slices get 503: %s", error)
