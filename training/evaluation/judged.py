"""Judge images as serving would: preprocess, score, calibrate; a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from model.calibration.usual import UsualSlices
from model.judge import Judged, judge_inputs, usual_slices
from model.runtime import LoadedModel
from model.scoring import COLUMNS, MSE
from preprocessing import InputSpec, Slice, to_input
from training.evaluation.cases import USUAL, Case
from training.evaluation.statistics import average_precision
from training.evaluation.table import Rows

FloatArray = NDArray[np.float32]

MAIN = "anomaly_score"
_BATCH = 8


@dataclass(frozen=True)
class JudgedCases:
    """All judged images; `examples` has the first of each kind as the model saw it, [S, S]."""

    rows: Rows
    usual: UsualSlices
    examples: dict[str, FloatArray]


@dataclass(frozen=True)
class _Answer:
    """The result for one case, whose own pixels are no longer needed."""

    case: Case
    judged: Judged
    precision: float
    mask_share: float


def judge_cases(
    model: LoadedModel, cases: Iterable[Case], progress: Callable[[int], None] = lambda done: None
) -> JudgedCases:
    """Judge images in small batches; only numbers are kept of them.

    Args:
        model: what judges.
        cases: the images, made when they are asked for.
        progress: called with the number of images judged.
    """
    answers: list[_Answer] = []
    examples: dict[str, FloatArray] = {}
    for batch in _batches(cases):
        x = np.stack([to_input(case.image, model.spec.input) for case in batch])
        for case, picture in zip(batch, x, strict=True):
            examples.setdefault(case.kind, picture[0].copy())
        answers += _answer(model, batch, x)
        progress(len(answers))
    channels = model.calibration.channels
    return JudgedCases(_rows(channels, answers), _usual(channels, answers), examples)


def _answer(model: LoadedModel, batch: list[Case], x: FloatArray) -> Iterator[_Answer]:
    judged = judge_inputs(model, x, [case.image.facts for case in batch])
    placed = [number for number, case in enumerate(batch) if case.mask is not None]
    maps = dict(zip(placed, model.anomaly_map(x[placed])[:, 0], strict=True)) if placed else {}
    for number, case in enumerate(batch):
        precision = share = np.nan
        if case.mask is not None:
            where = mask_on_map(case.image, case.mask, model.spec.input, maps[number].shape)
            precision, share = average_precision(where, maps[number]), float(where.mean())
        bare = replace(case, image=replace(case.image, pixels=_NO_PIXELS), mask=None)
        yield _Answer(bare, judged[number], precision, share)


def mask_on_map(
    image: Slice, mask: NDArray[np.bool_], spec: InputSpec, shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Bring a mask of the scan's matrix onto the grid of the anomaly map.

    Args:
        image: the slice that the mask belongs to.
        mask: [H, W], at least one true pixel.
        spec: of the model's input, S pixels on a side.
        shape: (h, w) of the map; both divide S.

    Returns:
        [h, w]; true where at least half of a pixel is masked; if there is no such pixel, where the
        largest share is.
    """
    fitted = to_input(
        replace(image, pixels=mask.astype(np.float32)),
        replace(spec, low_percentile=0.0, high_percentile=100.0),
    )[0]
    height, width = shape
    blocks = fitted.reshape(height, spec.size // height, width, spec.size // width)
    covered = blocks.mean(axis=(1, 3))
    return np.asarray(covered >= min(0.5, float(covered.max())))


_NO_PIXELS: FloatArray = np.zeros((0, 0), np.float32)


def _rows(channels: tuple[str, ...], answers: list[_Answer]) -> Rows:
    wanted = [COLUMNS.index(name) for name in (*channels, MSE)]
    cases = [answer.case for answer in answers]
    judged = [answer.judged for answer in answers]
    return Rows(
        columns=(MAIN, *channels, MSE),
        kinds=np.array([case.kind for case in cases]),
        groups=np.array([case.group for case in cases]),
        patients=np.array([case.patient for case in cases]),
        pairs=np.array([case.pair for case in cases]),
        scores=np.array([[one.verdict.anomaly_score, *one.scores[wanted]] for one in judged]),
        p_values=np.array([one.verdict.p_value for one in judged]),
        in_scope=np.array([one.verdict.scope_reason is None for one in judged]),
        precision=np.array([answer.precision for answer in answers]),
        mask_share=np.array([answer.mask_share for answer in answers]),
    )


def _usual(channels: tuple[str, ...], answers: list[_Answer]) -> UsualSlices:
    usual = [answer for answer in answers if answer.case.kind == USUAL]
    return usual_slices(
        np.array([answer.judged.scores for answer in usual]),
        [answer.case.image.facts for answer in usual],
        [answer.case.patient for answer in usual],
        channels,
    )


def _batches(cases: Iterable[Case]) -> Iterator[list[Case]]:
    rest = iter(cases)
    while batch := list(islice(rest, _BATCH)):
        yield batch
