"""Judge images as serving would: preprocess, score, calibrate; a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from model.calibration.calibration import Calibration, Verdict
from model.calibration.strata import StratumKey
from model.judge import judge as judge_row
from model.judge import kind_of
from model.runtime import LoadedModel
from preprocessing import InputSpec, Slice, to_input
from training.evaluation.cases import USUAL, Case
from training.evaluation.false_alarms import UsualSlices
from training.evaluation.statistics import average_precision
from training.evaluation.table import Rows

FloatArray = NDArray[np.float32]

MAIN = "anomaly_score"
MSE = "reconstruction_mse"
_BATCH = 8


@dataclass(frozen=True)
class Judge:
    """A model as evaluation needs it.

    Args:
        columns: names of what `score` returns.
        input: how a slice becomes the model's input.
        score: [B, 1, S, S] -> [B, len(columns)].
        locate: [B, 1, S, S] -> [B, 1, h, w], higher where the anomaly is.
        calibration: scores of usual slices.
    """

    columns: tuple[str, ...]
    input: InputSpec
    score: Callable[[FloatArray], NDArray[np.float64]]
    locate: Callable[[FloatArray], FloatArray]
    calibration: Calibration

    @classmethod
    def of(cls, model: LoadedModel) -> Judge:
        """Take from a loaded model what is needed."""
        return cls(
            model.spec.columns,
            model.spec.input,
            model.score,
            model.anomaly_map,
            model.calibration,
        )


@dataclass(frozen=True)
class Judged:
    """All images judged; `examples` has the first of each kind as the model saw it, [S, S]."""

    rows: Rows
    usual: UsualSlices
    examples: dict[str, FloatArray]


@dataclass(frozen=True)
class _Answer:
    """What was said of one case, whose own pixels are no longer needed."""

    case: Case
    scores: NDArray[np.float64]
    key: StratumKey
    verdict: Verdict
    precision: float
    mask_share: float


def judge_cases(
    judge: Judge, cases: Iterable[Case], progress: Callable[[int], None] = lambda done: None
) -> Judged:
    """Judge images in small batches; only numbers are kept of them.

    Args:
        judge: the model.
        cases: the images, made when they are asked for.
        progress: called with the number of images judged.
    """
    answers: list[_Answer] = []
    examples: dict[str, FloatArray] = {}
    for batch in _batches(cases):
        x = np.stack([to_input(case.image, judge.input) for case in batch])
        for case, picture in zip(batch, x, strict=True):
            examples.setdefault(case.kind, picture[0].copy())
        answers += _answer(judge, batch, x)
        progress(len(answers))
    return Judged(_rows(judge, answers), _usual(judge, answers), examples)


def _answer(judge: Judge, batch: list[Case], x: FloatArray) -> Iterator[_Answer]:
    scores = judge.score(x)
    placed = [number for number, case in enumerate(batch) if case.mask is not None]
    maps = dict(zip(placed, judge.locate(x[placed])[:, 0], strict=True)) if placed else {}
    for number, case in enumerate(batch):
        facts = case.image.facts
        key = kind_of(judge.columns, scores[number], facts)
        verdict = judge_row(judge.calibration, judge.columns, scores[number], facts)
        precision = share = np.nan
        if case.mask is not None:
            where = mask_on_map(case.image, case.mask, judge.input, maps[number].shape)
            precision, share = average_precision(where, maps[number]), float(where.mean())
        bare = replace(case, image=replace(case.image, pixels=_NO_PIXELS), mask=None)
        yield _Answer(bare, scores[number], key, verdict, precision, share)


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
        [h, w]; true where at least half of a pixel is masked, or else where most of one is.
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


def _rows(judge: Judge, answers: list[_Answer]) -> Rows:
    channels = judge.calibration.channels
    wanted = [judge.columns.index(name) for name in (*channels, MSE)]
    cases = [answer.case for answer in answers]
    return Rows(
        columns=(MAIN, *channels, MSE),
        kinds=np.array([case.kind for case in cases]),
        groups=np.array([case.group for case in cases]),
        patients=np.array([case.patient for case in cases]),
        studies=np.array([case.study for case in cases]),
        pairs=np.array([case.pair for case in cases]),
        scores=np.array([[a.verdict.anomaly_score, *a.scores[wanted]] for a in answers]),
        p_values=np.array([answer.verdict.p_value for answer in answers]),
        in_scope=np.array([answer.verdict.scope_reason is None for answer in answers]),
        precision=np.array([answer.precision for answer in answers]),
        mask_share=np.array([answer.mask_share for answer in answers]),
    )


def _usual(judge: Judge, answers: list[_Answer]) -> UsualSlices:
    channels = [judge.columns.index(name) for name in judge.calibration.channels]
    usual = [answer for answer in answers if answer.case.kind == USUAL]
    return UsualSlices(
        np.array([answer.scores[channels] for answer in usual]),
        tuple(answer.case.study for answer in usual),
        tuple(answer.key for answer in usual),
    )


def _batches(cases: Iterable[Case]) -> Iterator[list[Case]]:
    rest = iter(cases)
    while batch := list(islice(rest, _BATCH)):
        yield batch
