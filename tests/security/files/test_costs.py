"""No file takes more computing than its bytes allow."""

from __future__ import annotations

import contextlib
import time

import psutil
import pytest

from preprocessing import ImageError, InputSpec, read_frames, to_input
from preprocessing.decoding import process as decode_process
from tests.measured import Report
from tests.security.files.corpus import Case, cases

pytestmark = pytest.mark.heavy

# What SECURITY.md promises.
SECONDS_FOR_EACH_BYTE = 1 / 100_000
MOST_SECONDS = 3.0
# An ordinary request takes 10 ms, and a decoder process 0.3 s to start after one was killed.
FREE_SECONDS = 0.5
EXPENSIVE = [case for case in cases() if case.is_expensive]


def computing() -> float:
    """Seconds of this process and of the decoder processes, also of those that have ended."""
    own = psutil.Process()
    ended = own.cpu_times()
    living = [child.cpu_times() for child in own.children()]
    times: list[float] = [ended.children_user, ended.children_system]
    times += [each.user + each.system for each in living]
    return time.process_time() + sum(times)


@pytest.mark.parametrize("case", EXPENSIVE, ids=lambda case: case.name)
def test_a_file_takes_no_more_computing_than_its_bytes_allow(case: Case, report: Report) -> None:
    data = case.build()
    decode_process.stop()
    decode_process.start()
    before = computing()
    with contextlib.suppress(ImageError):
        for image in read_frames(data):
            to_input(image, InputSpec())
    seconds = computing() - before
    report(f"{case.name}: {len(data)} bytes, {seconds:.2f} s")
    assert seconds < MOST_SECONDS
    assert seconds < FREE_SECONDS + len(data) * SECONDS_FOR_EACH_BYTE
