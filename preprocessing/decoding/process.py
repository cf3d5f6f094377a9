"""Hand compressed frames to decoder processes that can be killed.

A few for each server process, started when they are needed and again after each death. Decoders are
libraries in C, C++ and Rust that were seen to abort, to panic, to compute for seconds on 60 bytes
and to allocate gigabytes; uncompressed slices never come here.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from preprocessing.decoding.child import (
    FAILED,
    OK,
    OUT_OF_MEMORY,
    READY,
    REPLY,
    REQUEST,
)
from preprocessing.errors import DamagedImage, LimitExceeded

# Two: one damaged frame that computes up to its limit does not hold up the valid ones.
MOST_PROCESSES = 2

_ROOT = Path(__file__).parents[2]
# The child gives up by itself shortly after its parent did.
_GRACE_SECONDS = 2.0
# Starting takes 0.3 s; a machine may be busy.
_START_SECONDS = 20.0
_STARTS = 3
# Only what a Python process needs to start: no keys, no settings.
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")
_ADVICE = "export the image again, best as Explicit VR Little Endian"


class DecoderUnavailable(RuntimeError):
    """No decoder process can be started: the machine's fault, not the file's."""


@dataclass(frozen=True)
class DecodeTime:
    """What one frame may take.

    Args:
        cpu_s: of computing, which a busy machine does not lengthen: more than any valid frame of
            this size needs.
        wall_s: in all.
    """

    cpu_s: float
    wall_s: float


@dataclass(frozen=True)
class _Child:
    """One decoder process."""

    process: subprocess.Popen[bytes]
    connection: socket.socket
    is_confined: bool = False

    def stop(self) -> int:
        """Kill the process, if it has not died already; return how it ended."""
        self.connection.close()
        self.process.kill()
        return self.process.wait()


_idle: list[_Child] = []
_turns = threading.BoundedSemaphore(MOST_PROCESSES)


def decode_in_child(
    syntax: str, frame: bytes, shape: tuple[int, int], bits: int, time_limit: DecodeTime
) -> tuple[bytearray, float]:
    """Decode one grayscale frame to little-endian samples.

    Args:
        syntax: the transfer syntax UID.
        frame: the encoded frame.
        shape: (rows, columns).
        bits: of a decoded sample.
        time_limit: after which the decoder is killed.

    Returns:
        The samples, and the seconds that they were computed.

    Raises:
        DamagedImage: the decoder failed, died, returned another size or computed too long.
        LimitExceeded: it took too much time or memory.
        DecoderUnavailable: no decoder process can be started.
    """
    n_expected = shape[0] * shape[1] * bits // 8
    request = REQUEST.pack(
        syntax.encode(),
        *shape,
        bits,
        len(frame),
        n_expected,
        time_limit.cpu_s,
        time_limit.wall_s + _GRACE_SECONDS,
    )
    with _turns:
        status, cpu_s, samples = _exchange_with_retry(request, frame, n_expected, time_limit.wall_s)
    if status == OK:
        return samples, max(0.0, cpu_s)  # also of NaN: the child is not to be trusted
    if status == OUT_OF_MEMORY:
        raise LimitExceeded(f"A compressed frame took too much memory to decode; {_ADVICE}.")
    if status == FAILED:
        raise DamagedImage(f"A compressed frame cannot be decoded; {_ADVICE}.")
    raise DamagedImage(f"A compressed frame decodes to another size than declared; {_ADVICE}.")


def _exchange_with_retry(
    request: bytes, frame: bytes, n_expected: int, seconds: float
) -> tuple[int, float, bytearray]:
    """Try again if the process was dead: it may have been killed before this frame came."""
    try:
        return _exchange(request, frame, n_expected, seconds)
    except _DecoderDied as death:
        if death.of_computing:
            raise death.error from death
    try:
        return _exchange(request, frame, n_expected, seconds)
    except _DecoderDied as death:
        raise death.error from death


class _DecoderDied(Exception):
    """The decoder process died while it decoded a frame."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.of_computing = exit_code == -signal.SIGPROF
        self.error = DamagedImage(
            "A compressed frame takes more computing than a valid one of its size, or than is left"
            f" for its object; {_ADVICE}."
            if self.of_computing
            else f"The decoder crashed on a compressed frame; {_ADVICE}."
        )


def _exchange(
    request: bytes, frame: bytes, n_expected: int, seconds: float
) -> tuple[int, float, bytearray]:
    """Send one frame to an idle process and wait for its samples."""
    child = _take()
    deadline = time.monotonic() + seconds
    try:
        child.connection.settimeout(seconds)
        child.connection.sendall(request)
        child.connection.sendall(frame)
        status, cpu_s = REPLY.unpack(_receive(child.connection, REPLY.size, deadline))
        samples = _receive(child.connection, n_expected if status == OK else 0, deadline)
    except TimeoutError as error:
        child.stop()
        raise LimitExceeded(
            f"A compressed frame took more than {seconds:.1f} s to decode; {_ADVICE}."
        ) from error
    except OSError as error:
        raise _DecoderDied(_exit_code(child)) from error
    except BaseException:
        child.stop()  # half an answer may be left in the socket
        raise
    _idle.append(child)
    return status, cpu_s, samples


def _exit_code(child: _Child) -> int:
    """Return how a process that closed its socket ended."""
    try:
        return child.process.wait(timeout=1.0)
    except subprocess.TimeoutExpired:
        return child.stop()
    finally:
        child.connection.close()


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


def start() -> bool:
    """Start a decoder process now, so that the first compressed frame does not wait for it.

    Returns:
        Whether the system keeps it from everything but decoding (lockdown.py).
    """
    with _turns:
        child = _take()
        _idle.append(child)
        return child.is_confined


def stop() -> None:
    """Kill the idle decoder processes; the next compressed frame starts another."""
    while _idle:
        _idle.pop().stop()


def _take() -> _Child:
    """Take the living process that was used last, which is warm, or start one."""
    while True:
        try:
            child = _idle.pop()
        except IndexError:
            return _start_child()
        if child.process.poll() is None:
            return child
        child.stop()


def _start_child() -> _Child:
    """Start a process, again if it is killed while it starts."""
    for _ in range(_STARTS):
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = _spawn(theirs)
        except OSError as error:
            ours.close()
            raise DecoderUnavailable("the decoder process does not start") from error
        try:
            ready = _receive(ours, len(READY), time.monotonic() + _START_SECONDS)
        except ConnectionError:
            _Child(process, ours).stop()
        except OSError:  # a timeout too
            _Child(process, ours).stop()
            break
        else:
            return _Child(process, ours, is_confined=ready == READY)
    raise DecoderUnavailable("the decoder process does not start")


def _spawn(connection: socket.socket) -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join([str(_ROOT), *filter(None, sys.path)])
    # One thread and one arena: each further one reserves address space that counts.
    environment |= {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    # Buffers of large frames go back at once; glibc would learn to keep 30 MB of them.
    environment |= {"MALLOC_MMAP_THRESHOLD_": "4194304", "MALLOC_TRIM_THRESHOLD_": "4194304"}
    descriptor = connection.fileno()
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-P", "-B", "-m", "preprocessing.decoding.child", str(descriptor)],
        pass_fds=(descriptor,),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _forget() -> None:
    """Leave the parent's decoder processes alone after a fork."""
    global _turns
    for child in _idle:
        child.connection.close()
        child.process.returncode = 0  # it is not ours: do not wait for it, do not warn
    _idle.clear()
    _turns = threading.BoundedSemaphore(MOST_PROCESSES)


atexit.register(stop)
os.register_at_fork(after_in_child=_forget)
