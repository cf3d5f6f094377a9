"""Decoders that are killed, hang, compute without end or share their work."""

from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from preprocessing import read_image
from preprocessing.decoding import process as decode_process
from preprocessing.errors import DamagedImage, LimitExceeded
from preprocessing.limits import Limits
from tests.preprocessing.decoding.codestreams import (
    JPEG,
    LOSSLESS,
    RAMP,
    RLE,
    encode_jpeg_ls,
    encode_rle,
)
from tests.preprocessing.dicom_files import encapsulated, native

COMPRESSED = encapsulated(RAMP, RLE, [encode_rle(RAMP)])


def the_idle_process() -> decode_process._Child:
    """Start over with one decoder process."""
    decode_process.stop()
    decode_process.start()
    return decode_process._idle[0]


def assert_reads(data: bytes) -> None:
    np.testing.assert_array_equal(read_image(data).pixels, RAMP)


def test_uncompressed_slices_start_no_process() -> None:
    decode_process.stop()
    assert_reads(native(RAMP))
    assert decode_process._idle == []


def test_a_killed_decoder_is_replaced() -> None:
    os.kill(the_idle_process().process.pid, signal.SIGKILL)
    assert_reads(COMPRESSED)


def test_a_hanging_decoder_is_killed_at_its_deadline_and_replaced() -> None:
    hanging = the_idle_process().process
    os.kill(hanging.pid, signal.SIGSTOP)
    with pytest.raises(LimitExceeded, match="took more than"):
        read_image(COMPRESSED, limits=Limits(decode_seconds=0.2))
    assert hanging.returncode == -signal.SIGKILL
    assert_reads(COMPRESSED)


def test_a_frame_that_computes_without_end_is_damaged() -> None:
    # CharLS spends seconds on 32 bytes of a 16 x 24 frame; check_codestream sees that its end is
    # missing, so it is handed over here without that check.
    frame = encode_jpeg_ls(RAMP)[:32]
    computing = the_idle_process().process
    with pytest.raises(DamagedImage, match="more computing"):
        decode_process.decode_in_child(
            JPEG + "80", frame, (16, 24), 16, decode_process.DecodeTime(cpu_s=0.2, wall_s=60)
        )
    assert computing.returncode == -signal.SIGPROF
    assert_reads(COMPRESSED)


def test_a_hanging_frame_does_not_stop_the_sound_ones() -> None:
    hanging = the_idle_process().process
    os.kill(hanging.pid, signal.SIGSTOP)
    waiting = threading.Event()

    def hang() -> None:
        waiting.set()
        with pytest.raises(LimitExceeded):
            read_image(COMPRESSED, limits=Limits(decode_seconds=5))

    with ThreadPoolExecutor(1) as thread:
        hung = thread.submit(hang)
        assert waiting.wait(10)
        while decode_process._idle:  # until the hanging one is taken
            pass
        for _ in range(20):
            assert_reads(COMPRESSED)
        assert not hung.done()
        os.kill(hanging.pid, signal.SIGKILL)
        with pytest.raises(pytest.fail.Exception):  # killed from outside, it was read after all
            hung.result()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 on, with threads
def test_a_forked_process_starts_its_own_decoder() -> None:
    ours = the_idle_process()
    pid = os.fork()
    if pid == 0:  # pragma: no cover - the child reports with its exit status
        is_equal = bool((read_image(COMPRESSED).pixels == RAMP).all())
        decode_process.stop()
        os._exit(0 if is_equal else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert_reads(COMPRESSED)
    assert decode_process._idle == [ours]


def test_threads_share_the_decoders_without_mixing_their_frames() -> None:
    pixels = [np.roll(RAMP, shift) for shift in range(24)]
    files = [encapsulated(each, RLE, [encode_rle(each)]) for each in pixels]
    with ThreadPoolExecutor(8) as threads:
        images = list(threads.map(read_image, files))
    for image, expected in zip(images, pixels, strict=True):
        np.testing.assert_array_equal(image.pixels, expected)
    assert len(decode_process._idle) <= decode_process.MOST_PROCESSES


# macOS refuses RLIMIT_AS and has no prlimit; the deadline still holds there.
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_AS holds on Linux only")
def test_the_decoder_process_is_confined() -> None:
    resource = pytest.importorskip("resource")
    pid = the_idle_process().process.pid
    assert resource.prlimit(pid, resource.RLIMIT_AS)[0] < 2 << 30
    assert resource.prlimit(pid, resource.RLIMIT_FSIZE)[0] == 0
    assert resource.prlimit(pid, resource.RLIMIT_CORE)[0] == 0


# Another process's environment is read from /proc, which macOS lacks.
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_decoder_process_sees_no_settings_and_ends_with_its_parent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPINE_API_KEY", "a secret")
    child = the_idle_process()
    assert b"SPINE" not in Path(f"/proc/{child.process.pid}/environ").read_bytes()
    child.connection.close()
    assert child.process.wait(timeout=10) == 0
    decode_process.stop()


def test_a_supervisor_that_stops_children_first_costs_no_frame() -> None:
    child = the_idle_process()
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(child.process.pid, number)
    assert_reads(COMPRESSED)
    assert decode_process._idle == [child]


def test_every_lossless_syntax_survives_the_smallest_time_limit_of_its_size() -> None:
    for syntax, frame in LOSSLESS.values():
        assert_reads(encapsulated(RAMP, syntax, [frame], BitsStored=12, HighBit=11))
