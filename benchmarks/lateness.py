"""Measure how late an event loop sees what arrives, by stamps that a thread sends to it."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_PROBE_EVERY_S = 0.01
_STAMP = struct.Struct("d")


@contextmanager
def lateness() -> Iterator[list[float]]:
    """Collect how late the running loop sees a stamp that a thread sends, in seconds."""
    late: list[float] = []
    here, there = socket.socketpair()
    here.setblocking(False)
    ended = threading.Event()

    def send() -> None:
        while not ended.wait(_PROBE_EVERY_S):
            there.send(_STAMP.pack(time.perf_counter()))

    def receive() -> None:
        now = time.perf_counter()
        late.extend(now - sent for (sent,) in _STAMP.iter_unpack(here.recv(_STAMP.size * 512)))

    loop = asyncio.get_running_loop()
    loop.add_reader(here, receive)
    thread = threading.Thread(target=send, name="probe")
    thread.start()
    try:
        yield late
    finally:
        ended.set()
        thread.join()
        loop.remove_reader(here)
        here.close()
        there.close()
