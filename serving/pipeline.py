"""Take a file from bytes to the verdict on its most anomalous frame."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from model.calibration.calibration import Verdict
from model.judge import judge_scores
from model.runtime import LoadedModel
from preprocessing import (
    ImageFile,
    InputSpec,
    Slice,
    SliceFacts,
    open_image,
    storage_of,
    to_input,
)
from preprocessing.decoding.process import DecoderUnavailable
from preprocessing.errors import LimitExceeded
from preprocessing.limits import DEFAULT, Limits
from serving.batching import Batcher, BatcherClosed, QueueFull
from serving.errors import DeadlineExceeded, ModelUnavailable, Overloaded
from serving.fairness import Claim
from serving.reading import Decoders
from serving.settings import Settings
from serving.telemetry import metrics

ModelInput = NDArray[np.float32]
# One slice's scores, in the order of the model's columns: [K].
Row = NDArray[np.float64]

# Four times the largest MR matrix; at the limit of 4096 x 4096 a frame takes 150 MB in all.
LARGE_PIXELS = 2048 * 2048
# The same of a deflated file, after it was inflated.
LARGE_INFLATED_BYTES = 4_000_000
# A frame of 200 x 200 pixels computes for 7 to 8 ms on one of two busy cores: 0.5 ms to read and
# resize, the rest for the networks. Next to single slices it has every other place in a batch, and
# next to another worker half a core: 30 of them take a second.
FRAME_CPU_S = 0.008
# To convert and resize a decoded pixel; of most frames little against the networks.
PIXEL_CPU_S = 5e-9
FRAMES_A_SECOND = 30
# Of a deadline of ten seconds an object computes for less than three, the start of another decoder
# included. Its decoders have a second for each 100 kB, and some for nothing.
COMPUTING_SHARE = 0.27
FREE_DECODE_S, BYTES_A_CPU_S = 0.5, 100_000
# Frames that take longer to decode than this leave the thread to others in between.
TURN_S = 0.02
# A damaged frame computes up to a limit that grows with its size. Frames above the ordinary sizes
# use at most one of the decoder processes, which leaves the other to the rest.
LARGE_COMPRESSED_PIXELS = 768 * 768


@dataclass(frozen=True)
class Frame:
    """One frame, ready for the model.

    Args:
        number: 1-based.
        frames: in the file.
        x: float32 [1, S, S].
        facts: from its header.
        notes: what was assumed of it, or could not be used.
    """

    number: int
    frames: int
    x: ModelInput
    facts: SliceFacts
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Score:
    """One frame of a file, and how many of all frames are in scope."""

    reconstruction_mse: float
    verdict: Verdict
    frame: int
    frames: int
    notes: tuple[str, ...] = ()
    frames_in_scope: int = 0

    @property
    def is_in_scope(self) -> bool:
        """The calibration has slices of this kind."""
        return self.verdict.scope_reason is None


def by_p_value(score: Score) -> tuple[bool, float, float]:
    """Rank frames in scope first, then by p-value, and those with the same by anomaly score."""
    return score.is_in_scope, -score.verdict.p_value, score.verdict.anomaly_score


def by_mse(score: Score) -> tuple[bool, float, float]:
    """Rank frames in scope first, then by reconstruction MSE."""
    return score.is_in_scope, score.reconstruction_mse, 0.0


@dataclass(frozen=True)
class Judge:
    """How the frames of one file are judged.

    Args:
        spec: what the model takes.
        verdict: a frame's scores and facts -> its verdict.
        mse_column: of the reconstruction MSE among the scores.
        rank: the frame with the highest rank answers for the file; the first one of several.
    """

    spec: InputSpec
    verdict: Callable[[Row, SliceFacts], Verdict]
    mse_column: int = 0
    rank: Callable[[Score], tuple[bool, float, float]] = by_p_value

    @classmethod
    def of(cls, model: LoadedModel, threshold: float | None) -> Judge:
        """Use a model; where a threshold decides, the frame with the highest MSE answers."""
        rank = by_p_value if threshold is None else by_mse
        return cls(model.spec.input, partial(judge_scores, model.calibration), rank=rank)

    def score(self, frame: Frame, row: Row) -> Score:
        """Judge one frame."""
        return Score(
            reconstruction_mse=float(row[self.mse_column]),
            verdict=self.verdict(row, frame.facts),
            frame=frame.number,
            frames=frame.frames,
            notes=frame.notes,
        )


def start_batcher(
    score: Callable[[ModelInput], NDArray[np.float64]], settings: Settings
) -> Batcher[ModelInput, Row]:
    """Feed the slices of all requests to the model.

    Args:
        score: slices [B, 1, S, S] -> scores [B, K].
        settings: with the sizes of a batch and of the queue.
    """
    return Batcher(
        lambda slices: list(score(np.stack(slices))),
        max_batch=settings.max_batch,
        max_queue=settings.queue,
        on_batch=metrics().batch_size.observe,
    )


async def score_file(
    data: bytes,
    judge: Judge,
    batcher: Batcher[ModelInput, Row],
    decoders: Decoders,
    settings: Settings,
    client: bytes | str = "",
) -> Score:
    """Decode a file off the event loop, judge each frame, keep the one with the highest rank.

    Frames of other kinds answer only for a file that has no other frames.

    A file of many frames is decoded and scored a few at a time: its memory stays small, and other
    requests get their turn in between (serving/fairness.py).

    Raises:
        ImageError: the file is not a usable image.
        RequestError: too much is waiting, the deadline passed, or the process is about to stop.
    """
    storage = storage_of(data)
    claim = Claim(client, len(data))
    run = partial(decoders.run, storage)
    stop = threading.Event()
    prepare = partial(
        prepare_frames,
        spec=judge.spec,
        # Two batches, or every third would hold other frames while these are prepared; never more
        # than the queue holds, or an idle server would be too busy for the file.
        count=min(2 * settings.max_batch, settings.queue),
        stop=stop,
        deadline=time.monotonic() + settings.deadline_s,
    )
    judged: list[Score] = []  # the best so far
    frames_in_scope = 0
    stages = metrics().stage_seconds
    # A deflated file counts as large until it is inflated: its size is not known before.
    is_deflated = storage == "deflated"
    try:
        async with AsyncExitStack() as turn:
            if is_deflated:
                await turn.enter_async_context(decoders.turn(claim))
            started = time.perf_counter()
            opened = await run(partial(open_file, data, settings, prepare, is_deflated), claim)
            claim = Claim(client, len(data) // opened.frames)
            prepare_next = partial(prepare, opened.slices)
            if is_deflated and not opened.is_large:
                await turn.aclose()
            elif opened.is_large and not is_deflated:
                await turn.enter_async_context(decoders.turn(claim))
            batch = opened.first or await run(prepare_next, claim)
            while True:
                decoded = time.perf_counter()
                scores = await score_frames(batch, batcher, claim)
                newest = list(map(judge.score, batch, scores))
                frames_in_scope += sum(score.is_in_scope for score in newest)
                judged = [max(judged + newest, key=judge.rank)]
                stages.labels("decode").observe(decoded - started)
                stages.labels("score").observe(time.perf_counter() - decoded)
                if batch[-1].number == batch[-1].frames:
                    return replace(judged[0], frames_in_scope=frames_in_scope)
                started = time.perf_counter()
                batch = await run(prepare_next, claim.of_further())
    except DecoderUnavailable as error:
        raise ModelUnavailable("the decoder process does not start; try again") from error
    finally:
        # A thread cannot be cancelled: it looks for this between frames.
        stop.set()


@dataclass(frozen=True)
class OpenedFile:
    """A file between its header and its answer.

    Args:
        frames: in the file.
        slices: that are left.
        is_large: its frames or its inflated bytes take a turn of their own.
        first: frames, unless it must wait for its turn.
    """

    frames: int
    slices: Iterator[Slice]
    is_large: bool
    first: list[Frame]


def open_file(
    data: bytes,
    settings: Settings,
    prepare: Callable[[Iterator[Slice]], list[Frame]],
    is_deflated: bool,
) -> OpenedFile:
    """Read a file's header and, in the same turn of a thread, its first frames.

    Args:
        data: the whole file.
        settings: with what it may cost.
        prepare: slices -> frames.
        is_deflated: the file has its turn, however large it turns out to be.

    Raises:
        ImageError: the file is not a usable image.
        DeadlineExceeded: frames are left at the deadline.
    """
    image = open_image(data, file_limits(settings))
    in_time = settings.deadline_s * FRAMES_A_SECOND
    if image.layout.frames > in_time:
        raise LimitExceeded(
            f"The object declares {image.layout.frames} frames; within the deadline at most"
            f" {in_time} are read.",
            "deadline_s",
        )
    is_compressed_frame = image.layout.element.length is None
    if is_compressed_frame:
        image = replace(image, limits=_decode_limits(image, len(data), settings))
    most = LARGE_COMPRESSED_PIXELS if is_compressed_frame else LARGE_PIXELS
    is_large = image.layout.rows * image.layout.columns > most
    is_large |= is_deflated and len(image.header.data) > LARGE_INFLATED_BYTES
    slices = image.slices()
    first = [] if is_large and not is_deflated else prepare(slices)
    return OpenedFile(image.layout.frames, slices, is_large, first)


def _decode_limits(image: ImageFile, n_bytes: int, settings: Settings) -> Limits:
    """Leave to decoders what remains of an object's computing, and what its bytes pay for."""
    frames, n_pixels = image.layout.frames, image.layout.rows * image.layout.columns
    frame_s = FRAME_CPU_S + PIXEL_CPU_S * n_pixels
    remains_s = COMPUTING_SHARE * settings.deadline_s - frame_s * frames
    paid_s = FREE_DECODE_S + n_bytes / BYTES_A_CPU_S
    return replace(image.limits, object_decode_seconds=min(remains_s, paid_s))


def file_limits(settings: Settings) -> Limits:
    """What one file may cost; its sizes grow with the upload's, in the default's ratio."""
    max_bytes = settings.max_upload_bytes
    return Limits(
        max_bytes=max_bytes,
        max_inflated_bytes=max(DEFAULT.max_inflated_bytes, 2 * max_bytes),
        max_header_bytes=max(DEFAULT.max_header_bytes, max_bytes // 2),
        max_pixels=settings.max_pixels,
        max_frames=settings.max_frames,
    )


def prepare_frames(
    slices: Iterator[Slice], spec: InputSpec, count: int, *, stop: threading.Event, deadline: float
) -> list[Frame]:
    """Decode up to `count` frames, or fewer that take long; runs in a decoder thread.

    Args:
        slices: of one file; the next call continues where this one stops.
        spec: what the model takes.
        count: frames to decode.
        stop: set when nobody is waiting for the file.
        deadline: of the whole file, on `time.monotonic`.

    Raises:
        ImageError: the file is not a usable image.
        DeadlineExceeded: frames are left at the deadline.
    """
    batch: list[Frame] = []
    next_turn = time.monotonic() + TURN_S
    for image in slices:
        x = to_input(image, spec)
        frame = Frame(image.frame, image.frames, x, image.facts, image.notes)
        del image  # or its pixels stay while the next ones are decoded
        batch.append(frame)
        if frame.number == frame.frames or stop.is_set():
            break
        if time.monotonic() > deadline:
            raise DeadlineExceeded("the file takes too long to decode; send fewer frames")
        if len(batch) == count or time.monotonic() > next_turn:
            break
    return batch


async def score_frames(
    batch: list[Frame], batcher: Batcher[ModelInput, Row], claim: Claim
) -> list[Row]:
    """Queue frames together and wait for their scores.

    Raises:
        RequestError: see `score_file`.
    """
    futures: list[asyncio.Future[Row]] = []
    try:
        for frame in batch:
            own = claim if frame.number == 1 else claim.of_further()
            futures.append(batcher.submit(frame.x, own))
        scores = await asyncio.gather(*futures)
    except QueueFull as error:
        raise Overloaded("the queue is full; try again in a second") from error
    except BatcherClosed as error:
        raise ModelUnavailable("the server is stopping; try another one") from error
    finally:
        # No effect on finished ones; frees the queue's places of those that nobody is waiting for.
        for future in futures:
            future.cancel()
    if not np.isfinite(scores).all():
        raise ArithmeticError("the model gave a score that is not finite")
    return scores
