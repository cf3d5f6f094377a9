"""Stop working for a client that has gone away."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from serving.errors import ClientGone

if TYPE_CHECKING:
    from starlette.types import Receive

T = TypeVar("T")


async def until_disconnect(work: Coroutine[Any, Any, T], receive: Receive) -> T:
    """Await work, but cancel it when the connection closes.

    The server itself would let the work for a closed connection continue.

    Args:
        work: what the client waits for.
        receive: the connection's ASGI callable; the body must have been read.

    Raises:
        ClientGone: the connection closed first.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine runs in one
    is_working, is_gone = True, False

    def leave(left: asyncio.Future[None]) -> None:
        nonlocal is_gone
        if is_working and not left.cancelled():
            left.exception()  # a connection that cannot be asked is gone too
            is_gone = True
            task.cancel()

    # The work stays in this task, as with asyncio.timeout: one of its own would cost more.
    leaving = asyncio.ensure_future(_disconnected(receive))
    leaving.add_done_callback(leave)
    try:
        return await work
    except asyncio.CancelledError:
        if not is_gone:
            raise
        is_gone = False
        if task.uncancel() > 0:
            raise
        raise ClientGone("the connection closed before the answer") from None
    finally:
        is_working = False
        if is_gone:
            task.uncancel()  # the work ended in its own way
        leaving.cancel()


async def _disconnected(receive: Receive) -> None:
    """Return when the connection is closed."""
    while (await receive())["type"] != "http.disconnect":
        pass
