"""The threads that read files, and the start of the first decoder process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext

from preprocessing import Storage
from preprocessing.decoding import process as decode_process
from preprocessing.decoding.process import MOST_PROCESSES, DecoderUnavailable
from serving.process.inspection import refuse_inspection
from serving.telemetry import log


class Decoders:
    """The threads that read files: some for uncompressed pixels, some that wait for a decoder.

    They are two pools, so that a slow or hanging decoder never delays an uncompressed slice.

    Args:
        threads: of the first kind.
    """

    def __init__(self, threads: int) -> None:
        self._native = ThreadPoolExecutor(threads, thread_name_prefix="read")
        self._compressed = ThreadPoolExecutor(MOST_PROCESSES, thread_name_prefix="decode")
        self._large = asyncio.Lock()

    def for_file(self, storage: Storage) -> Executor:
        """The threads that a file belongs to."""
        return self._compressed if storage == "compressed" else self._native

    def turn(self, is_needed: bool) -> AbstractAsyncContextManager[None]:
        """Wait for a file's turn if it takes much memory or time: those are read one at a time."""
        return self._large if is_needed else nullcontext()

    def close(self) -> None:
        """Start nothing more."""
        for threads in (self._native, self._compressed):
            threads.shutdown(wait=False, cancel_futures=True)


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
