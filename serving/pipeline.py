"""Take a file from bytes to the score of its most anomalous frame."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocessing import InputSpec, Slice, read_frames, to_input
from preprocessing.decode_process import DecoderUnavailable
from serving.batching import Batcher, BatcherClosed, QueueFull
from serving.errors import ModelUnavailable, Overloaded
from serving.telemetry import metrics

ModelInput = NDArray[np.float32]


@dataclass(frozen=True)
class Frame:
    """One frame, ready for the model.

    Args:
        number: 1-based.
        frames: in the file.
        x: float32 [1, S, S].
    """

    number: int
    frames: int
    x: ModelInput


@dataclass(frozen=True)
class Score:
    """The most anomalous frame of a file."""

    reconstruction_mse: float
    frame: int
    frames: int


async def score_file(
    data: bytes,
    spec: InputSpec,
    batcher: Batcher[ModelInput, float],
    decoders: Executor,
    frames_at_once: int,
) -> Score:
    """Decode a file off the event loop, score each frame, keep the highest score.

    A file of many frames is decoded and scored a few at a time: its memory stays small, and other
    requests get their turn in between.

    Raises:
        ImageError: the file is not a usable image.
        RequestError: too much is waiting, or the process is about to stop.
    """
    loop = asyncio.get_running_loop()
    slices = read_frames(data)
    best = Score(-math.inf, frame=0, frames=0)
    while True:
        started = time.perf_counter()
        try:
            batch = await loop.run_in_executor(
                decoders, prepare_frames, slices, spec, frames_at_once
            )
        except DecoderUnavailable as error:
            raise ModelUnavailable("the decoder process does not start; try again") from error
        decoded = time.perf_counter()
        for frame, mse in zip(batch, await score_frames(batch, batcher), strict=True):
            if mse > best.reconstruction_mse:
                best = Score(mse, frame.number, frame.frames)
        stages = metrics().stage_seconds
        stages.labels("decode").observe(decoded - started)
        stages.labels("score").observe(time.perf_counter() - decoded)
        if batch[-1].number == batch[-1].frames:
            return best


def prepare_frames(slices: Iterator[Slice], spec: InputSpec, count: int) -> list[Frame]:
    """Decode up to `count` frames; runs in a decoder thread."""
    batch: list[Frame] = []
    for image in slices:
        batch.append(Frame(image.frame, image.frames, to_input(image, spec)))
        if len(batch) == count or image.frame == image.frames:
            break
    return batch


async def score_frames(batch: list[Frame], batcher: Batcher[ModelInput, float]) -> list[float]:
    """Queue frames together and wait for their scores.

    Raises:
        RequestError: see `score_file`.
    """
    futures: list[asyncio.Future[float]] = []
    try:
        for frame in batch:
            futures.append(batcher.submit(frame.x))  # noqa: PERF401 (a full queue keeps the list)
        scores = await asyncio.gather(*futures)
    except QueueFull as error:
        raise Overloaded("the queue is full; try again in a second") from error
    except BatcherClosed as error:
        raise ModelUnavailable("the server is stopping; try another one") from error
    finally:
        # Without effect on what is done; frees the places of what nobody waits for any more.
        for future in futures:
            future.cancel()
    if not all(math.isfinite(score) for score in scores):
        raise ArithmeticError("the model gave a score that is not finite")
    return scores
