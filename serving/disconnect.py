"""Stop working for a client that went away."""

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

    The server itself lets the work of a closed connection run on.

    Args:
        work: what the client waits for.
        receive: the connection's ASGI callable; the body must have been read.

    Raises:
        ClientGone: the connection closed first.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGone("the connection closed before the answer")
    finally:
        working.cancel()
        leaving.cancel()


async def _disconnected(receive: Receive) -> None:
    """Return when the connection is closed."""
    while (await receive())["type"] != "http.disconnect":
        pass
