"""Feed a model from many requests: what is queued while it is busy becomes the next batch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, TypeVar

from serving.fairness import ANYBODY, Claim, FairQueue

Item = TypeVar("Item")
Result = TypeVar("Result")


class QueueFull(Exception):
    """More items are waiting than the queue may hold, and this one would be the last."""


class BatcherClosed(Exception):
    """The batcher takes no more items, or was closed before this one had its turn."""


class Batcher(Generic[Item, Result]):
    """An adaptive batcher on one event loop.

    An item never waits while a model thread is idle. There is no timer and no task: a batch starts
    when an item arrives at an idle model or when the batch before it ends. What waits is ordered by
    its claim (serving/fairness.py).

    Args:
        run: items -> as many results, in their order; called in a model thread.
        max_batch: the largest batch.
        max_queue: items that may wait.
        threads: batches that may run at the same time.
        on_batch: called with the size of each batch, on the event loop.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Sequence[Result]],
        *,
        max_batch: int = 8,
        max_queue: int = 256,
        threads: int = 1,
        on_batch: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._run = run
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._on_batch = on_batch
        self._idle_threads = threads
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="model")
        self._waiting: FairQueue[tuple[Item, asyncio.Future[Result]]] = FairQueue()
        self._running: set[asyncio.Future[list[Result | Exception]]] = set()
        self._start_is_due = False
        self._closed = False

    def submit(self, item: Item, claim: Claim = ANYBODY) -> asyncio.Future[Result]:
        """Queue an item; cancel the future to take it back.

        Args:
            item: for the model.
            claim: decides when its turn is.

        Returns:
            The result to come. It may be QueueFull: above the limit, the item goes that would have
            its turn last, which may be this one.

        Raises:
            BatcherClosed: after `close`.
        """
        if self._closed:
            raise BatcherClosed
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.put((item, future), claim)
        if len(self._waiting) > self._max_queue:
            # Those whose clients went away hold no place.
            self._waiting.discard(lambda entry: entry[1].done())
            if len(self._waiting) > self._max_queue:
                self._waiting.drop_last()[1].set_exception(QueueFull())
        if self._idle_threads and not self._start_is_due:
            # In the loop's next iteration, so that frames submitted together stay together.
            self._start_is_due = True
            loop.call_soon(self._start)
        return future

    async def close(self, timeout_s: float = 20.0) -> None:
        """Take no more items, finish the queued ones, fail what is left after the timeout."""
        self._closed = True
        deadline = asyncio.get_running_loop().time() + timeout_s
        while self._waiting or self._running:
            left_s = deadline - asyncio.get_running_loop().time()
            if left_s <= 0:
                break
            if self._running:
                await asyncio.wait(
                    self._running, timeout=left_s, return_when=asyncio.FIRST_COMPLETED
                )
            await asyncio.sleep(0)  # lets the next batch start
        while self._waiting:
            _, future = self._waiting.get()
            if not future.done():
                future.set_exception(BatcherClosed())
        # A batch that is still running cannot be stopped, and nobody is waiting for it.
        self._executor.shutdown(wait=False)

    def _start(self) -> None:
        """Hand batches to the idle threads."""
        self._start_is_due = False
        while self._idle_threads and self._waiting:
            batch: list[tuple[Item, asyncio.Future[Result]]] = []
            while self._waiting and len(batch) < self._max_batch:
                entry = self._waiting.get()
                if not entry[1].done():
                    batch.append(entry)
            if not batch:
                return
            items = [item for item, _ in batch]
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(self._executor, run_isolated, self._run, items)
            self._idle_threads -= 1
            self._running.add(running)
            running.add_done_callback(partial(self._finish, [future for _, future in batch]))
            # As a callback of its own: the loop reports its error, and the batch continues.
            loop.call_soon(self._on_batch, len(batch))

    def _finish(
        self,
        futures: list[asyncio.Future[Result]],
        ran: asyncio.Future[list[Result | Exception]],
    ) -> None:
        """Give each item its own result, then start what has been queued since."""
        self._running.discard(ran)
        self._idle_threads += 1
        self._start()
        # Wrapped: a library's SystemExit or panic must not reach the event loop.
        died = RuntimeError("the model thread gave up its batch")
        died.__cause__ = ran.exception()
        results = [died for _ in futures] if died.__cause__ else ran.result()
        for future, result in zip(futures, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)


def run_isolated(
    run: Callable[[list[Item]], Sequence[Result]], items: list[Item]
) -> list[Result | Exception]:
    """Run a batch; if it fails, run its items one by one, so that only the faulty one fails.

    Returns:
        A result or an exception for each item, in their order.
    """
    try:
        results = run(items)
        if len(results) != len(items):
            raise RuntimeError(f"{len(items)} items went in, {len(results)} results came out")
    except Exception as error:
        if len(items) == 1:
            return [error]
        return [result for item in items for result in run_isolated(run, [item])]
    return list(results)
