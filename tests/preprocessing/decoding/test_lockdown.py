"""A decoder process can do nothing but decode."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from preprocessing import read_image
from preprocessing.decoding import process as decode_process
from preprocessing.decoding.lockdown import lock_down
from tests.dicom_files import encapsulated
from tests.preprocessing.decoding.codestreams import LOSSLESS, RAMP
from tests.root import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="seccomp is of Linux")

# What native code that a frame has taken over would try; each prints its error number.
TRY = """
import ctypes, os, signal, socket, sys
from preprocessing.decoding.decoders import decode
from preprocessing.decoding.lockdown import lock_down

libc = ctypes.CDLL(None, use_errno=True)
ours, theirs = socket.socketpair()
parent, report = os.getppid(), os.dup(1)

def call(name, *args):
    ctypes.set_errno(0)
    result = getattr(libc, name)(*args)
    return ctypes.get_errno() if result in (-1, 0xFFFFFFFF) else 0

TRIALS = {
    "open a file": lambda: call("open", b"/etc/passwd", os.O_RDONLY),
    "open the parent's environment": lambda: call("open", b"/proc/%d/environ" % parent, 0),
    "open its own memory": lambda: call("open", b"/proc/self/mem", os.O_RDWR),
    "write a file": lambda: call("creat", b"/tmp/written", 0o600),
    "stat a file": lambda: call("access", b"/etc/passwd", 0),
    "delete a file": lambda: call("unlink", b"/tmp/nothing"),
    "open a socket": lambda: call("socket", socket.AF_INET, socket.SOCK_STREAM, 0),
    "open a local socket": lambda: call("socket", socket.AF_UNIX, socket.SOCK_STREAM, 0),
    "connect": lambda: call("connect", ours.fileno(), b"\\1\\0/a", 4),
    "pass a descriptor on": lambda: call("sendmsg", ours.fileno(), bytes(56), 0),
    "start a program": lambda: call("execve", b"/bin/sh", None, None),
    "fork": lambda: call("fork"),
    "signal the parent": lambda: call("kill", parent, 0),
    "trace the parent": lambda: call("ptrace", 16, parent, 0, 0),
    "read the parent": lambda: call("process_vm_readv", parent, None, 0, None, 0, 0),
    "limit the parent": lambda: call("prlimit", parent, 0, None, None),
    "use io_uring": lambda: call("syscall", 425, 1, bytes(120)),
    "make a call that is not listed": lambda: call("syscall", 175, 0, 0, 0),
    "change its user": lambda: call("setuid", 0),
    "see the machine's name": lambda: call("uname", bytes(1024)),
}
assert lock_down()
for name, trial in TRIALS.items():
    os.write(report, f"{name}: {trial()}\\n".encode())
frames = eval(sys.stdin.read())
for syntax, frame, expected in frames:
    same = decode(syntax, bytearray(frame), 384, 16) == expected
    os.write(report, b"decoded\\n" if same else b"another picture\\n")
"""
EPERM = "1"


@pytest.fixture
def confined() -> None:
    """Skip where the kernel or the container's profile lets no filter be set."""
    code = "from preprocessing.decoding.lockdown import lock_down as f; raise SystemExit(not f())"
    if subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode:  # noqa: S603
        pytest.skip("this system lets no filter of system calls be set")


@pytest.mark.usefixtures("confined")
def test_a_confined_process_can_do_nothing_but_decode() -> None:
    expected = RAMP.astype("<u2").tobytes()
    frames = [
        (syntax, frame, expected) for name, (syntax, frame) in LOSSLESS.items() if name != "RLE"
    ]
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", TRY],
        cwd=ROOT,
        input=repr(frames),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    trials = [line for line in lines if ": " in line]
    assert len(trials) == 20
    assert [line for line in trials if not line.endswith(f": {EPERM}")] == []
    assert lines[20:] == ["decoded"] * len(frames)


@pytest.mark.usefixtures("confined")
def test_the_decoder_process_is_confined_before_it_sees_a_frame() -> None:
    decode_process.stop()
    assert decode_process.start()
    for syntax, frame in LOSSLESS.values():
        data = encapsulated(RAMP, syntax, [frame], BitsStored=12, HighBit=11)
        np.testing.assert_array_equal(read_image(data).pixels, RAMP)
    (pid,) = [child.process.pid for child in decode_process._idle]
    for task in Path(f"/proc/{pid}/task").iterdir():
        status = dict(
            line.split(":\t", 1)
            for line in (task / "status").read_text().splitlines()
            if ":\t" in line
        )
        assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")


def test_where_no_filter_can_be_set_the_answer_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert not lock_down()
