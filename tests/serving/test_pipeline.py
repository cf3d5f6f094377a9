"""A file's way from bytes to its score: cancellation, its deadline, its limits."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from model.calibration.calibration import Verdict
from model.calibration.strata import StratumKey
from model.calibration.usual import calibrate
from preprocessing import InputSpec, Slice, SliceFacts, Storage, read_frames
from preprocessing.errors import LimitExceeded
from preprocessing.limits import DEFAULT
from serving import pipeline
from serving.batching import Batcher
from serving.errors import DeadlineExceeded
from serving.fairness import ANYBODY
from serving.pipeline import (
    FRAMES_A_SECOND,
    Judge,
    ModelInput,
    OpenedFile,
    Row,
    by_mse,
    file_limits,
    prepare_frames,
    score_file,
)
from serving.reading import Decoders
from serving.settings import Settings
from tests.dicom_files import encapsulated, make_dicom, noise
from tests.preprocessing.decoding.codestreams import RAMP, RLE, encode_rle

MANY = make_dicom(noise((200, 24, 24)))


ANY = StratumKey()
CALIBRATION = calibrate(
    np.arange(99.0)[:, None],
    [str(number) for number in range(99)],
    [ANY] * 99,
    channels=["spectrum"],
    alarm_rate=0.05,
)
JUDGE = Judge(InputSpec(size=64), lambda row, facts: CALIBRATION.judge(row[1:], ANY))


@pytest.fixture
def spec() -> InputSpec:
    return JUDGE.spec


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine changes nothing of what is counted here."""
    monkeypatch.setattr(pipeline, "TURN_S", 60.0)


def zeros(slices: list[ModelInput]) -> list[Row]:
    return [np.zeros(2) for _ in slices]


def stopping(slices: Iterator[Slice], stop: threading.Event) -> Iterator[Slice]:
    """Set stop with the third frame."""
    for image in slices:
        if image.frame == 3:
            stop.set()
        yield image


def test_decoding_stops_between_frames_when_nobody_waits(spec: InputSpec) -> None:
    stop = threading.Event()
    slices = stopping(read_frames(MANY), stop)
    batch = prepare_frames(slices, spec, 100, stop=stop, deadline=time.monotonic() + 60)
    assert [frame.number for frame in batch] == [1, 2, 3]


@pytest.mark.parametrize("count", [1, 100])
def test_frames_left_at_the_deadline_are_an_error(spec: InputSpec, count: int) -> None:
    with pytest.raises(DeadlineExceeded):
        prepare_frames(read_frames(MANY), spec, count, stop=threading.Event(), deadline=0.0)


def test_frames_that_take_long_leave_the_thread_to_others_after_each(
    spec: InputSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "TURN_S", 0.0)
    frames, later = read_frames(MANY), time.monotonic() + 60
    for number in (1, 2):
        batch = prepare_frames(frames, spec, 100, stop=threading.Event(), deadline=later)
        assert [frame.number for frame in batch] == [number]


def test_a_file_that_is_complete_at_the_deadline_is_answered(spec: InputSpec) -> None:
    one = read_frames(make_dicom(noise((8, 8))))
    assert len(prepare_frames(one, spec, 8, stop=threading.Event(), deadline=0.0)) == 1


class RememberingThreads(ThreadPoolExecutor):
    """Threads that remember what they were given last."""

    given: Callable[[], OpenedFile]

    def submit(self, work: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.given = work
        return super().submit(work, *args, **kwargs)


async def test_a_cancelled_request_tells_the_decoder_thread_to_stop() -> None:
    batcher: Batcher[ModelInput, Row] = Batcher(zeros)
    decoders = Decoders(1)
    with RememberingThreads(1) as threads:
        decoders._native._executor = threads
        gate = threading.Event()
        threads.submit(gate.wait)  # the only thread is busy
        work = asyncio.create_task(score_file(MANY, JUDGE, batcher, decoders, Settings()))
        await asyncio.sleep(0)
        work.cancel()
        await asyncio.wait([work])
        gate.set()
        # Cancelled before its turn; a thread that was in it would stop after its frame.
        assert len(threads.given().first) == 1
    await batcher.close()


def test_the_limits_of_a_file_grow_with_the_upload_and_never_shrink_below_the_default() -> None:
    large = file_limits(Settings(max_upload_mb=100, max_pixels=123, max_frames=4))
    assert (large.max_bytes, large.max_inflated_bytes) == (100_000_000, 200_000_000)
    assert large.max_header_bytes == 50_000_000
    assert (large.max_pixels, large.max_frames) == (123, 4)
    small = file_limits(Settings(max_upload_mb=1))
    assert small.max_inflated_bytes == DEFAULT.max_inflated_bytes
    assert small.max_header_bytes == DEFAULT.max_header_bytes


def test_by_default_a_file_has_as_many_frames_as_its_deadline_can_hold() -> None:
    assert Settings().max_frames == Settings().deadline_s * FRAMES_A_SECOND


async def test_frames_that_the_deadline_cannot_hold_are_refused_with_its_setting() -> None:
    batcher: Batcher[ModelInput, Row] = Batcher(zeros)
    decoders = Decoders(1)
    with pytest.raises(LimitExceeded, match="at most 180 are read") as caught:
        await score_file(MANY, JUDGE, batcher, decoders, Settings(deadline_s=6))
    assert caught.value.limit == "deadline_s"
    assert (await score_file(MANY, JUDGE, batcher, decoders, Settings(deadline_s=7))).frames == 200
    decoders.close()
    await batcher.close()


async def test_a_file_above_the_readers_default_is_read_when_the_settings_allow_it() -> None:
    data = make_dicom(noise((17, 1024, 1024)))
    assert len(data) > DEFAULT.max_bytes
    batcher: Batcher[ModelInput, Row] = Batcher(zeros)
    decoders = Decoders(1)
    large = Settings(max_upload_mb=64, deadline_s=60)
    assert (await score_file(data, JUDGE, batcher, decoders, large)).frames == 17
    with pytest.raises(LimitExceeded):
        await score_file(data, JUDGE, batcher, decoders, Settings(max_upload_mb=32))
    decoders.close()
    await batcher.close()


async def test_compressed_files_have_threads_of_their_own() -> None:
    decoders = Decoders(1)

    async def thread(storage: Storage) -> str:
        return await decoders.run(storage, lambda: threading.current_thread().name, ANYBODY)

    names = [await thread(storage) for storage in ("native", "deflated", "compressed")]
    assert [name.partition("_")[0] for name in names] == ["read", "read", "decode"]
    decoders.close()


async def test_large_frames_go_one_by_one_and_hold_up_no_ordinary_ones() -> None:
    batcher: Batcher[ModelInput, Row] = Batcher(zeros)
    decoders = Decoders(2)
    large = make_dicom(np.zeros((2049, 2048), np.uint8))
    deflated = make_dicom(np.zeros((2049, 2048), np.uint8), "1.2.840.10008.1.2.1.99")

    async def score(data: bytes) -> int:
        return (await score_file(data, JUDGE, batcher, decoders, Settings())).frames

    pixels = np.zeros((769, 768), np.uint16)
    compressed = encapsulated(pixels, RLE, [encode_rle(pixels)])
    async with decoders.turn(ANYBODY):
        waiting = asyncio.gather(score(large), score(deflated), score(compressed))
        assert await score(encapsulated(RAMP, RLE, [encode_rle(RAMP)])) == 1
        assert await score(make_dicom(np.zeros((2048, 2048), np.uint8))) == 1
        assert not waiting.done()
    assert sum(await waiting) == 3
    decoders.close()
    await batcher.close()


async def test_a_deflated_file_that_is_small_holds_the_turn_of_large_ones_only_to_inflate() -> None:
    is_scoring, may_go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def score(slices: list[ModelInput]) -> list[Row]:
        loop.call_soon_threadsafe(is_scoring.set)
        may_go_on.wait(30)
        return zeros(slices)

    batcher: Batcher[ModelInput, Row] = Batcher(score)
    decoders = Decoders(2)
    data = make_dicom(np.zeros((64, 64), np.uint8), "1.2.840.10008.1.2.1.99")
    scoring = asyncio.ensure_future(score_file(data, JUDGE, batcher, decoders, Settings()))
    await is_scoring.wait()
    async with asyncio.timeout(30), decoders.turn(ANYBODY):
        assert not scoring.done()
    may_go_on.set()
    assert (await scoring).frames == 1
    decoders.close()
    await batcher.close()


def test_the_frame_that_answers_has_the_smallest_p_value_and_then_the_highest_score() -> None:
    frames = prepare_frames(
        read_frames(MANY), JUDGE.spec, 4, stop=threading.Event(), deadline=time.monotonic() + 60
    )
    # [MSE, spectrum]: the last two lie beyond all of the calibration, the fourth further.
    rows = np.array([[0.9, 3.0], [0.1, 50.0], [0.2, 100.0], [0.3, 120.0]])
    scores = [JUDGE.score(frame, row) for frame, row in zip(frames, rows, strict=True)]
    assert scores[2].verdict.p_value == scores[3].verdict.p_value == 0.01
    assert max(scores, key=JUDGE.rank).frame == 4
    assert max(scores, key=by_mse).frame == 1
    assert scores[1].reconstruction_mse == 0.1


async def test_a_verdict_is_reached_with_the_facts_of_its_own_frame() -> None:
    seen: list[SliceFacts] = []

    def verdict(row: Row, facts: SliceFacts) -> Verdict:
        seen.append(facts)
        return CALIBRATION.judge(row[1:], ANY)

    batcher: Batcher[ModelInput, Row] = Batcher(zeros)
    decoders = Decoders(1)
    data = make_dicom(noise((8, 8)), BodyPartExamined="LSPINE")
    await score_file(data, Judge(JUDGE.spec, verdict), batcher, decoders, Settings())
    assert [facts.body_part_examined for facts in seen] == ["LSPINE"]
    decoders.close()
    await batcher.close()


async def test_a_score_that_is_not_finite_is_a_fault_and_no_answer() -> None:
    batcher: Batcher[ModelInput, Row] = Batcher(lambda slices: [np.array([0.1, np.nan])])
    decoders = Decoders(1)
    with pytest.raises(ArithmeticError, match="not finite"):
        await score_file(make_dicom(noise((8, 8))), JUDGE, batcher, decoders, Settings())
    decoders.close()
    await batcher.close()
