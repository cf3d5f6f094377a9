"""At SIGTERM, fail readiness, go on answering for a while, then let the server stop."""

from __future__ import annotations

import asyncio
import signal
from functools import cache, partial
from types import FrameType

from serving.telemetry import log

# With the drain before it, everything ends within 25 s, which is what a host usually waits.
FINISH_WITHIN_S = 20
# After the drain and this, the system ends a worker that still runs.
KILL_AFTER_S = FINISH_WITHIN_S + 6


class Drain:
    """Whether this process is about to stop."""

    def __init__(self) -> None:
        self.has_begun = False

    def arm(self, drain_s: int) -> None:
        """Put the drain before the server's own handler of SIGTERM.

        Args:
            drain_s: between the signal and the end of listening.
        """
        stop = signal.getsignal(signal.SIGTERM)
        assert callable(stop)  # noqa: S101  # a server runs here
        loop = asyncio.get_running_loop()

        def begin(number: int, frame: FrameType | None) -> None:
            if self.has_begun:
                stop(number, frame)
                return
            self.has_begun = True
            if hasattr(signal, "alarm"):  # not on Windows
                signal.alarm(drain_s + KILL_AFTER_S)
            log.info("draining: not ready, stopping in %d s", drain_s)
            loop.call_soon_threadsafe(partial(loop.call_later, drain_s, stop, number, frame))

        signal.signal(signal.SIGTERM, begin)


@cache
def drain() -> Drain:
    """Return the one of this process."""
    return Drain()
