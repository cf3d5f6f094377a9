"""Fail readiness at SIGTERM, go on answering for a while, then let the server stop."""

from __future__ import annotations

import asyncio
import signal
from functools import cache, partial
from types import FrameType
from typing import TYPE_CHECKING

from serving.telemetry import log

if TYPE_CHECKING:
    from uvicorn.server import Server

# With the drain before it, everything is over within 25 s: what a host usually waits for.
FINISH_WITHIN_S = 20


class Drain:
    """Whether this process is about to stop."""

    def __init__(self) -> None:
        self.has_begun = False

    def arm(self, server: Server, drain_s: float) -> None:
        """Stand before the server's own handler of SIGTERM.

        Args:
            server: which uvicorn runs in this process.
            drain_s: between the signal and the end of listening.
        """
        graceful_s = server.config.timeout_graceful_shutdown or FINISH_WITHIN_S
        server.config.timeout_graceful_shutdown = min(graceful_s, FINISH_WITHIN_S)
        loop = asyncio.get_running_loop()

        def begin(number: int, frame: FrameType | None) -> None:
            if self.has_begun:
                server.handle_exit(number, frame)
                return
            self.has_begun = True
            log.info("draining: not ready, stopping in %g s", drain_s)
            stop = partial(server.handle_exit, number, frame)
            loop.call_soon_threadsafe(partial(loop.call_later, drain_s, stop))

        signal.signal(signal.SIGTERM, begin)


@cache
def drain() -> Drain:
    """The one of this process."""
    return Drain()
