"""Decode compressed frames in a process of its own, which may hang, abort or grow.

Started by decoding/process.py as `python -m preprocessing.decoding.child FD`. It reads
requests from one socket and answers each with a status, followed by the samples if it is OK. It
cannot allocate without limit, write files or leave a core dump, and on Linux do nothing but decode
(lockdown.py). A signal ends it when a frame takes too much computing or too long, so that nothing
is left over when its parent vanishes.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from preprocessing.decoding.lockdown import lock_down

if TYPE_CHECKING:
    from preprocessing.decoding.decoders import Decoded


# Transfer syntax, rows, columns, bits of a sample, bytes of the frame, bytes expected, seconds of
# computing, seconds in all.
REQUEST = struct.Struct("<64sIIIQQdd")
# Status, seconds of computing.
REPLY = struct.Struct("<Bd")
# Ready, confined by the system or not.
READY, READY_UNCONFINED = b"!", b"?"
OK, FAILED, OTHER_SIZE, OUT_OF_MEMORY = range(4)

# What decoding may take beyond the started process: a 4096 x 4096 slice in JPEG 2000 needs 250 MB.
_MEMORY_BYTES = 320 * 1024 * 1024
# Where the size of the started process cannot be read.
_STARTED_BYTES = 512 * 1024 * 1024


# Damaged frames may keep all decoders busy: uncompressed slices, which need none, go first.
_NICENESS = 5


def main() -> None:
    """Serve requests until the parent closes its end."""
    os.nice(_NICENESS)
    connection = socket.socket(fileno=int(sys.argv[1]))
    # Ctrl-C goes to the whole group, and supervisors stop children first; the parent decides when
    # this process ends: it closes the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _silence()
    from preprocessing.decoding import decoders  # noqa: F401 - nothing can be imported afterwards

    _limit()
    connection.sendall(READY if lock_down() else READY_UNCONFINED)
    while (header := receive(connection, REQUEST.size)) is not None:
        name, rows, columns, bits, n_frame, n_expected, cpu_s, wall_s = REQUEST.unpack(header)
        frame = receive(connection, n_frame)
        if frame is None:
            return
        started = time.process_time()
        signal.setitimer(signal.ITIMER_REAL, wall_s)
        signal.setitimer(signal.ITIMER_PROF, cpu_s)
        status, samples = _answer(name.rstrip(b"\0").decode(), frame, rows * columns, bits)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if status == OK and len(samples) != n_expected:
            status = OTHER_SIZE
        connection.sendall(REPLY.pack(status, time.process_time() - started))
        if status == OK:
            connection.sendall(samples)
        del frame, samples  # or they stay until the next frame comes: 80 MB of a large one


def _answer(syntax: str, frame: bytearray, n_pixels: int, bits: int) -> tuple[int, Decoded]:
    from preprocessing.decoding.decoders import DecodeError, decode

    try:
        return OK, decode(syntax, frame, n_pixels, bits)
    except DecodeError as error:
        is_memory = isinstance(error.__cause__, MemoryError)
        return OUT_OF_MEMORY if is_memory else FAILED, b""


def receive(connection: socket.socket, n_bytes: int) -> bytearray | None:
    """Read exactly `n_bytes`; None when the other end is closed."""
    buffer = bytearray(n_bytes)
    view = memoryview(buffer)
    while view:
        n_read = connection.recv_into(view)
        if not n_read:
            return None
        view = view[n_read:]
    return buffer


def _silence() -> None:
    """Send what decoders print to nowhere: it may quote the file."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _limit() -> None:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        started = pages * resource.getpagesize()
    except (OSError, ValueError):
        started = _STARTED_BYTES
    memory = started + _MEMORY_BYTES
    for limit, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        hard = resource.getrlimit(limit)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(limit, (value, hard))
        except (OSError, ValueError):
            # Some systems (macOS) refuse RLIMIT_AS; the deadline still holds.
            continue


if __name__ == "__main__":
    main()
