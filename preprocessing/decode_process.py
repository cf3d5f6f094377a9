"""Hand compressed frames to a decoder process that can be killed.

One process per server process, started by the first compressed frame and again after each death.
Decoders are libraries in C, C++ and Rust that were seen to abort, to panic and to allocate
gigabytes; uncompressed slices never come here.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from preprocessing.decode_child import FAILED, OK, OUT_OF_MEMORY, READY, REPLY, REQUEST
from preprocessing.errors import DamagedImage, LimitExceeded

_ROOT = Path(__file__).parents[1]
# The child gives up by itself shortly after its parent did.
_GRACE_SECONDS = 2.0
# Starting takes 0.15 s; a machine may be busy.
_START_SECONDS = 20.0
# Only what a Python process needs to start: no keys, no settings.
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")
_ADVICE = "export the image anew, best as Explicit VR Little Endian"


class DecoderUnavailable(RuntimeError):
    """No decoder process can be started: the machine's fault, not the file's."""


@dataclass
class _Child:
    """The decoder process of this process."""

    process: subprocess.Popen[bytes]
    connection: socket.socket


_child: _Child | None = None
_lock = threading.Lock()


def decode_in_child(
    syntax: str, frame: bytes, shape: tuple[int, int], bits: int, seconds: float
) -> bytearray:
    """Decode one grayscale frame to little-endian samples.

    Args:
        syntax: the transfer syntax UID.
        frame: the encoded frame.
        shape: (rows, columns).
        bits: of a decoded sample.
        seconds: after which the decoder is killed.

    Raises:
        DamagedImage: the decoder failed, died or returned another size.
        LimitExceeded: it took too much time or memory.
        DecoderUnavailable: no decoder process can be started.
    """
    n_expected = shape[0] * shape[1] * bits // 8
    request = REQUEST.pack(
        syntax.encode(), *shape, bits, len(frame), n_expected, seconds + _GRACE_SECONDS
    )
    with _lock:
        try:
            status, samples = _exchange_twice(request, frame, n_expected, seconds)
        except TimeoutError as error:
            stop()
            raise LimitExceeded(
                f"A compressed frame took more than {seconds:.1f} s to decode; {_ADVICE}."
            ) from error
        except OSError as error:
            stop()
            raise DamagedImage(f"The decoder died over a compressed frame; {_ADVICE}.") from error
        except BaseException:
            stop()  # half an answer may be left in the socket
            raise
    if status == OK:
        return samples
    if status == OUT_OF_MEMORY:
        raise LimitExceeded(f"A compressed frame took too much memory to decode; {_ADVICE}.")
    if status == FAILED:
        raise DamagedImage(f"A compressed frame cannot be decoded; {_ADVICE}.")
    raise DamagedImage(f"A compressed frame decodes to another size than declared; {_ADVICE}.")


def _exchange_twice(
    request: bytes, frame: bytes, n_expected: int, seconds: float
) -> tuple[int, bytearray]:
    """Ask again if the process was dead: perhaps it was killed before this frame came."""
    try:
        return _exchange(_living_child(), request, frame, n_expected, seconds)
    except ConnectionError:
        stop()
        return _exchange(_living_child(), request, frame, n_expected, seconds)


def _exchange(
    child: _Child, request: bytes, frame: bytes, n_expected: int, seconds: float
) -> tuple[int, bytearray]:
    deadline = time.monotonic() + seconds
    child.connection.settimeout(seconds)
    child.connection.sendall(request)
    child.connection.sendall(frame)
    status = REPLY.unpack(_receive(child.connection, REPLY.size, deadline))[0]
    return status, _receive(child.connection, n_expected if status == OK else 0, deadline)


def _receive(connection: socket.socket, n_bytes: int, deadline: float) -> bytearray:
    buffer = bytearray(n_bytes)
    view = memoryview(buffer)
    while view:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        connection.settimeout(remaining)
        n_read = connection.recv_into(view)
        if not n_read:
            raise ConnectionResetError
        view = view[n_read:]
    return buffer


def start() -> None:
    """Start the decoder process now, so that the first compressed frame does not wait for it."""
    with _lock:
        _living_child()


def _living_child() -> _Child:
    global _child
    if _child is not None and _child.process.poll() is not None:
        stop()
    if _child is None:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                _child = _Child(_spawn(theirs), ours)
            _receive(ours, len(READY), time.monotonic() + _START_SECONDS)
        except OSError as error:
            ours.close()
            stop()
            raise DecoderUnavailable("the decoder process does not start") from error
    return _child


def _spawn(connection: socket.socket) -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join([str(_ROOT), *filter(None, sys.path)])
    # One thread and one arena: each further one reserves address space that counts.
    environment |= {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    descriptor = connection.fileno()
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-P", "-B", "-m", "preprocessing.decode_child", str(descriptor)],
        pass_fds=(descriptor,),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def stop() -> None:
    """Kill the decoder process; the next compressed frame starts another."""
    global _child
    if _child is not None:
        _child.connection.close()
        _child.process.kill()
        _child.process.wait()
        _child = None


def _forget() -> None:
    """Leave the parent's decoder process alone after a fork."""
    global _child, _lock
    if _child is not None:
        _child.connection.close()
        _child.process.returncode = 0  # it is not ours: do not wait for it, do not warn
        _child = None
    _lock = threading.Lock()


atexit.register(stop)
os.register_at_fork(after_in_child=_forget)
