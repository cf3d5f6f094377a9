"""Prepare a worker process: its logs, open files, end and memory; end it when it hangs."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

from serving.http.connection import ANSWERED_ABOVE_LIMIT, OTHER_FILES
from serving.process.drain import drain
from serving.process.inspection import forget_keys
from serving.settings import Settings
from serving.telemetry import log, log_fault, without_tracebacks

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PR_SET_PDEATHSIG = 1
# Between two looks for a pause in which memory can be returned.
IDLE_LOOK_S = 2.0
# An event loop that runs nothing for so long hangs; the longest deadline of its own is 10 s.
LOOP_HUNG_AFTER_S = 15


class Worker:
    """The outermost ASGI layer: prepares the process, and returns memory while all is answered.

    Args:
        app: what answers.
        settings: of this server.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._settings = settings
        self._n_running = 0
        self._n_answered = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI says."""
        if scope["type"] == "lifespan":
            prepare(self._settings)
            tidying = asyncio.create_task(self._return_memory())

            async def started(message: Message) -> None:
                if message["type"] == "lifespan.startup.complete" and _is_server():
                    end_if_loop_hangs(LOOP_HUNG_AFTER_S)
                await send(message)

            try:
                await self.app(scope, receive, started)
            finally:
                tidying.cancel()
            return
        self._n_running += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._n_running -= 1
            self._n_answered += 1

    async def _return_memory(self) -> None:
        """Return memory to the system whenever all is answered."""
        n_before = 0
        while True:
            await asyncio.sleep(IDLE_LOOK_S)
            if not self._n_running and self._n_answered > n_before:
                n_before = self._n_answered
                trim_heap()


def prepare(settings: Settings) -> None:
    """Do everything below, on the event loop of a worker before it listens.

    Without effect where no server handles SIGTERM: a test's process stays as it is.
    """
    if not _is_server():
        return
    quiet()
    forget_keys()
    open_enough_files(settings)
    end_with_supervisor()
    drain().arm(settings.drain_s)


def _is_server() -> bool:
    return callable(signal.getsignal(signal.SIGTERM))


def quiet() -> None:
    """Log unexpected errors by type and place: their text may quote a file's values."""
    without_tracebacks()
    loop = asyncio.get_running_loop()

    def on_loop_error(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        log_fault(context.get("exception") or RuntimeError(), "of no request")

    loop.set_exception_handler(on_loop_error)
    sys.excepthook = lambda kind, error, _: log_fault(error, "of no request")
    threading.excepthook = lambda args: log_fault(args.exc_value or RuntimeError(), "of no request")
    sys.unraisablehook = lambda args: log_fault(args.exc_value or RuntimeError(), "of no request")
    warnings.showwarning = lambda message, category, filename, lineno, *_: log.warning(
        "a library warns: %s", category.__name__
    )


def open_enough_files(settings: Settings) -> None:
    """Raise the soft limit of open files: the usual 1024 is less than the connections."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.connections + ANSWERED_ABOVE_LIMIT + OTHER_FILES
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        log.warning("only %d files may be open: fewer connections than SPINE_CONNECTIONS", most)


def end_with_supervisor() -> None:
    """Stop as at a SIGTERM when the supervisor dies."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def end_if_loop_hangs(hung_after_s: int) -> None:
    """End this process when its event loop runs nothing for so long; its supervisor replaces it.

    uvicorn's supervisor asks a thread, which answers while the loop hangs.
    """
    loop = asyncio.get_running_loop()

    def watch() -> None:
        while True:
            answered = threading.Event()
            try:
                loop.call_soon_threadsafe(answered.set)
            except RuntimeError:
                return  # it has ended
            # In turns of a second: those of a container that was paused do not count.
            if not any(answered.wait(1.0) for _ in range(hung_after_s)):
                break
            time.sleep(1.0)
        text = "this worker hangs: its event loop has run nothing for %d s; it ends"
        # What hangs may hold the log's lock, or be the log.
        threading.Thread(target=log.critical, args=(text, hung_after_s), daemon=True).start()
        time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, name="watch-loop", daemon=True).start()


def freeze_heap() -> None:
    """Return what the start has freed, and keep the garbage collector from scanning the rest.

    The model's file and the layers of the golden slices leave 10 MB behind.
    """
    gc.collect()
    gc.freeze()
    trim_heap()


def trim_heap() -> None:
    """Return free pages from the middle of the heap to the system, where glibc can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
