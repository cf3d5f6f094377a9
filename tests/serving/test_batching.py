import asyncio
import threading
from collections.abc import Sequence

import pytest

from serving.batching import Batcher, BatcherClosed, QueueFull
from serving.fairness import Claim


class GatedModel:
    """A model that doubles its items once its gate is open, and remembers its batches."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.started = threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, items: list[int]) -> Sequence[int]:
        self.batches.append(items)
        self.started.set()
        if not self.gate.wait(10):
            raise TimeoutError
        if any(item < 0 for item in items):
            raise ValueError("a negative item")
        return [2 * item for item in items]

    async def busy(self) -> None:
        await asyncio.to_thread(self.started.wait, 10)


async def test_an_idle_model_gets_a_lone_item_at_once() -> None:
    model = GatedModel()
    model.gate.set()
    batcher = Batcher(model)
    future = batcher.submit(1)
    await asyncio.sleep(0)  # one turn of the loop: no timer stands between item and model
    assert model.started.wait(10)  # blocks the loop: a timer could not fire now
    assert await future == 2
    await batcher.close()


async def test_what_queues_behind_a_running_batch_becomes_the_next_in_order() -> None:
    model, sizes = GatedModel(), list[int]()
    batcher = Batcher(model, max_batch=4, on_batch=sizes.append)
    first = batcher.submit(0)
    await model.busy()
    others = [batcher.submit(item) for item in range(1, 7)]
    model.gate.set()
    assert await asyncio.gather(first, *others) == [0, 2, 4, 6, 8, 10, 12]
    assert model.batches == [[0], [1, 2, 3, 4], [5, 6]]
    assert sizes == [1, 4, 2]
    await batcher.close()


async def test_items_submitted_together_share_the_first_batch() -> None:
    model = GatedModel()
    model.gate.set()
    batcher = Batcher(model, max_batch=8)
    assert await asyncio.gather(*[batcher.submit(item) for item in range(3)]) == [0, 2, 4]
    assert model.batches == [[0, 1, 2]]
    await batcher.close()


async def test_one_failing_item_leaves_its_neighbours_unharmed() -> None:
    model = GatedModel()
    model.gate.set()
    batcher = Batcher(model)
    results = await asyncio.gather(
        *[batcher.submit(item) for item in (1, -1, 3)], return_exceptions=True
    )
    assert results[0] == 2
    assert isinstance(results[1], ValueError)
    assert results[2] == 6
    await batcher.close()


async def test_too_few_results_are_an_error_and_not_somebody_elses_score() -> None:
    batcher: Batcher[int, int] = Batcher(lambda items: [7] if len(items) > 1 else [])
    results = await asyncio.gather(batcher.submit(1), batcher.submit(2), return_exceptions=True)
    assert [type(result) for result in results] == [RuntimeError, RuntimeError]
    await batcher.close()


async def test_a_cancelled_item_never_reaches_the_model() -> None:
    model = GatedModel()
    batcher = Batcher(model)
    first = batcher.submit(0)
    await model.busy()
    gone, stays = batcher.submit(1), batcher.submit(2)
    gone.cancel()
    model.gate.set()
    assert [await first, await stays] == [0, 4]
    assert model.batches == [[0], [2]]
    await batcher.close()


async def test_an_item_cancelled_while_it_runs_does_not_disturb_its_batch() -> None:
    model = GatedModel()
    batcher = Batcher(model)
    gone, stays = batcher.submit(1), batcher.submit(2)
    await model.busy()
    gone.cancel()
    model.gate.set()
    assert await stays == 4
    assert await batcher.submit(3) == 6
    await batcher.close()


async def test_a_full_queue_refuses_and_a_cancelled_item_frees_its_place() -> None:
    model = GatedModel()
    batcher = Batcher(model, max_queue=2)
    first = batcher.submit(0)
    await model.busy()
    gone, stays = batcher.submit(1), batcher.submit(2)
    with pytest.raises(QueueFull):
        await batcher.submit(3)
    gone.cancel()
    late = batcher.submit(4)
    model.gate.set()
    assert [await first, await stays, await late] == [0, 4, 8]
    await batcher.close()


async def test_close_finishes_queued_work_and_refuses_new() -> None:
    model = GatedModel()
    batcher = Batcher(model, max_batch=1)
    futures = [batcher.submit(item) for item in range(3)]
    await model.busy()
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0)
    with pytest.raises(BatcherClosed):
        batcher.submit(9)
    model.gate.set()
    await closing
    assert [future.result() for future in futures] == [0, 2, 4]


async def test_close_fails_queued_work_after_its_timeout() -> None:
    model = GatedModel()
    batcher = Batcher(model, max_batch=1)
    running, queued = batcher.submit(0), batcher.submit(1)
    await model.busy()
    await batcher.close(timeout_s=0.01)
    with pytest.raises(BatcherClosed):
        await queued
    model.gate.set()
    assert await running == 0


async def test_two_model_threads_run_two_batches_at_once() -> None:
    model = GatedModel()
    batcher = Batcher(model, threads=2, max_batch=1)
    futures = [batcher.submit(item) for item in range(3)]
    await model.busy()
    while len(model.batches) < 2:
        await asyncio.sleep(0.001)
    assert len(model.batches) == 2
    model.gate.set()
    assert await asyncio.gather(*futures) == [0, 2, 4]
    await batcher.close()


async def test_an_observer_that_fails_costs_no_thread_and_no_result() -> None:
    def on_batch(size: int) -> None:
        raise OSError("no room for the metrics")

    reported: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
    model = GatedModel()
    model.gate.set()
    batcher = Batcher(model, on_batch=on_batch)
    assert [await asyncio.wait_for(batcher.submit(item), 10) for item in (1, 2)] == [2, 4]
    assert [type(error) for error in reported] == [OSError, OSError]
    await batcher.close()


@pytest.mark.parametrize("kind", [SystemExit, type("Panic", (BaseException,), {})])
async def test_a_model_that_panics_fails_its_batch_and_not_the_next(
    kind: type[BaseException],
) -> None:
    def run(items: list[int]) -> list[int]:
        if -1 in items:
            raise kind
        return items

    batcher = Batcher(run)
    results = await asyncio.wait_for(
        asyncio.gather(batcher.submit(-1), batcher.submit(1), return_exceptions=True), 10
    )
    assert [type(result) for result in results] == [RuntimeError, RuntimeError]
    assert await asyncio.wait_for(batcher.submit(2), 10) == 2
    await batcher.close()


async def test_a_full_queue_drops_what_would_have_its_turn_last() -> None:
    model = GatedModel()
    batcher = Batcher(model, max_queue=3)
    first = batcher.submit(0)
    await model.busy()
    full, further = Claim("a"), Claim("a").of_further()
    slice_, cheap = batcher.submit(1, full), batcher.submit(2, Claim("b", n_bytes=500))
    frame = batcher.submit(3, further)
    others = [batcher.submit(item, Claim("c")) for item in (4, 5)]
    for dropped in (frame, cheap):
        with pytest.raises(QueueFull):
            await asyncio.wait_for(dropped, 10)
    model.gate.set()
    assert await asyncio.gather(first, slice_, *others) == [0, 2, 8, 10]
    await batcher.close()
