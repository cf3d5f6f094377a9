"""Work ends with the connection that waits for it."""

import asyncio
import contextlib
from typing import Any

import pytest

from serving.errors import ClientGone
from serving.http.disconnect import until_disconnect

pytestmark = pytest.mark.asyncio


class Connection:
    """A connection that closes when the test closes it."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.closed.wait()
        return {"type": "http.disconnect"}


async def test_the_result_comes_back_from_an_open_connection() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 3

    assert await until_disconnect(work(), Connection().receive) == 3
    assert len(asyncio.all_tasks()) <= 2  # what watched the connection is about to end


async def test_a_closed_connection_cancels_the_work() -> None:
    connection = Connection()
    was_cancelled = asyncio.Event()

    async def work() -> None:
        connection.closed.set()
        try:
            await asyncio.sleep(60)
        finally:
            was_cancelled.set()

    with pytest.raises(ClientGone):
        await until_disconnect(work(), connection.receive)
    assert was_cancelled.is_set()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0  # it can go on and answer
    await asyncio.sleep(0)


async def test_work_that_ends_with_the_connection_cancels_nothing_afterwards() -> None:
    connection = Connection()

    async def work() -> int:
        connection.closed.set()
        await asyncio.sleep(0)
        return 3

    with contextlib.suppress(ClientGone):  # both may come in the same turn
        assert await until_disconnect(work(), connection.receive) == 3
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_cancellation_from_outside_stays_one() -> None:
    async def work() -> None:
        await asyncio.sleep(60)

    task = asyncio.ensure_future(until_disconnect(work(), Connection().receive))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_work_comes_through() -> None:
    async def work() -> None:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - our own, without words
        await until_disconnect(work(), Connection().receive)


async def test_work_that_answers_although_it_was_cancelled_leaves_no_mark() -> None:
    connection = Connection()

    async def work() -> int:
        connection.closed.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return 5

    assert await until_disconnect(work(), connection.receive) == 5
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_connection_that_cannot_be_asked_is_gone() -> None:
    async def broken() -> dict[str, Any]:
        raise ConnectionResetError

    with pytest.raises(ClientGone):
        await until_disconnect(asyncio.sleep(60), broken)
