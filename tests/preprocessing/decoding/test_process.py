"""Decoders that are killed, hang, compute without end or share their work."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import numpy as np
import psutil
import pytest

from preprocessing import read_frames, read_image
from preprocessing.decoding import child as decode_child
from preprocessing.decoding import process as decode_process
from preprocessing.errors import DamagedImage, LimitExceeded
from preprocessing.limits import Limits
from tests.dicom_files import encapsulated, make_dicom
from tests.preprocessing.decoding.codestreams import (
    JPEG,
    LOSSLESS,
    RAMP,
    RLE,
    encode_jpeg_ls,
    encode_rle,
)

COMPRESSED = encapsulated(RAMP, RLE, [encode_rle(RAMP)])


def decoders() -> list[psutil.Process]:
    """The decoder processes that this process has started."""
    return [
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE and decode_child.__name__ in child.cmdline()
    ]


def the_only_decoder() -> psutil.Process:
    """Start over with one decoder process."""
    decode_process.stop()
    decode_process.start()
    (decoder,) = decoders()
    return decoder


def assert_reads(data: bytes) -> None:
    np.testing.assert_array_equal(read_image(data).pixels, RAMP)


def test_uncompressed_slices_start_no_process() -> None:
    decode_process.stop()
    assert_reads(make_dicom(RAMP))
    assert decoders() == []


def test_a_killed_decoder_is_replaced() -> None:
    the_only_decoder().kill()
    assert_reads(COMPRESSED)


def test_a_hanging_decoder_is_killed_at_its_deadline_and_replaced() -> None:
    hanging = the_only_decoder()
    hanging.suspend()
    with pytest.raises(LimitExceeded, match="took more than"):
        read_image(COMPRESSED, limits=Limits(decode_seconds=0.2))
    assert not hanging.is_running()
    assert_reads(COMPRESSED)


def test_a_frame_that_computes_without_end_is_damaged() -> None:
    # CharLS spends seconds on 32 bytes of a 16 x 24 frame; check_codestream sees that its end is
    # missing, so it is handed over here without that check.
    frame = encode_jpeg_ls(RAMP)[:32]
    computing = the_only_decoder()
    with pytest.raises(DamagedImage, match="more computing"):
        decode_process.decode_in_child(
            JPEG + "80", frame, (16, 24), 16, decode_process.DecodeTime(cpu_s=0.2, wall_s=60)
        )
    assert not computing.is_running()
    assert_reads(COMPRESSED)


def test_the_frames_of_an_object_share_its_time_for_decoding() -> None:
    pixels = np.random.default_rng(1).integers(0, 4096, (512, 512), dtype=np.uint16)
    many = encapsulated(
        np.broadcast_to(pixels, (20, 512, 512)), JPEG + "80", [encode_jpeg_ls(pixels)] * 20
    )
    assert len(list(read_frames(many))) == 20
    frames = read_frames(many, Limits(object_decode_seconds=0.05))
    with pytest.raises((LimitExceeded, DamagedImage), match=r"send fewer frames|more computing"):
        list(frames)
    assert next(read_frames(many, Limits(object_decode_seconds=0.15))).frame == 1


def test_a_hanging_frame_does_not_stop_the_sound_ones() -> None:
    hanging = the_only_decoder()
    hanging.suspend()
    with ThreadPoolExecutor(2) as threads:
        reading = [threads.submit(assert_reads, COMPRESSED) for _ in range(2)]
        (read,), (hung,) = wait(reading, return_when=FIRST_COMPLETED)
        read.result()
        for _ in range(20):
            assert_reads(COMPRESSED)
        assert not hung.done()
        hanging.kill()
        hung.result()  # killed from outside, its frame was handed to another one


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 on, with threads
def test_a_forked_process_starts_its_own_decoder() -> None:
    ours = the_only_decoder()
    pid = os.fork()
    if pid == 0:  # pragma: no cover - the child reports with its exit status
        is_equal = bool((read_image(COMPRESSED).pixels == RAMP).all())
        decode_process.stop()
        os._exit(0 if is_equal else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert_reads(COMPRESSED)
    assert decoders() == [ours]


def test_threads_share_the_decoders_without_mixing_their_frames() -> None:
    pixels = [np.roll(RAMP, shift) for shift in range(24)]
    files = [encapsulated(each, RLE, [encode_rle(each)]) for each in pixels]
    with ThreadPoolExecutor(8) as threads:
        images = list(threads.map(read_image, files))
    for image, expected in zip(images, pixels, strict=True):
        np.testing.assert_array_equal(image.pixels, expected)
    assert len(decoders()) <= decode_process.MOST_PROCESSES


# macOS refuses RLIMIT_AS and has no prlimit; the deadline still holds there.
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_AS holds on Linux only")
def test_the_decoder_process_is_confined() -> None:
    resource = pytest.importorskip("resource")
    pid = the_only_decoder().pid
    assert resource.prlimit(pid, resource.RLIMIT_AS)[0] < 2 << 30
    assert resource.prlimit(pid, resource.RLIMIT_FSIZE)[0] == 0
    assert resource.prlimit(pid, resource.RLIMIT_CORE)[0] == 0


def test_the_decoder_process_sees_no_settings_and_ends_with_its_parent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPINE_API_KEY", "a secret")
    assert not [name for name in the_only_decoder().environ() if name.startswith("SPINE")]
    code = (
        "from preprocessing.decoding import process; process.start(); import os, psutil;"
        "print(*(child.pid for child in psutil.Process().children()), flush=True); os._exit(1)"
    )
    ended = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    (pid,) = map(int, ended.stdout.split())
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(timeout=10)


def test_a_supervisor_that_stops_children_first_costs_no_frame() -> None:
    decoder = the_only_decoder()
    for number in (signal.SIGTERM, signal.SIGINT):
        decoder.send_signal(number)
    assert_reads(COMPRESSED)
    assert decoders() == [decoder]


def test_every_lossless_syntax_survives_the_smallest_time_limit_of_its_size() -> None:
    for syntax, frame in LOSSLESS.values():
        assert_reads(encapsulated(RAMP, syntax, [frame], BitsStored=12, HighBit=11))
