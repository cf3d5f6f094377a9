"""The one path from slices to verdicts: serving, batch, evaluation and calibration all use it.

slices --to_input--> x --networks--> scores --calibration--> verdict
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from model.calibration.calibration import Calibration, Verdict
from model.calibration.conformal import Scores
from model.calibration.regions import stated_region
from model.calibration.strata import Measured, StratumKey, stratum_of
from model.calibration.usual import UsualSlices
from model.runtime import LoadedModel
from model.scoring import CHANNELS, COLUMNS, MEASURES, MSE, FloatArray
from preprocessing import Slice, SliceFacts, to_input

_MSE = COLUMNS.index(MSE)
_MEASURES = [COLUMNS.index(name) for name in MEASURES]


@dataclass(frozen=True)
class Judged:
    """What a model says about one slice.

    Args:
        scores: in the order of `model.scoring.COLUMNS`, [K].
        verdict: what the calibration says of them.
    """

    scores: Scores
    verdict: Verdict

    @property
    def reconstruction_mse(self) -> float:
        """The score that a threshold is compared with."""
        return float(self.scores[_MSE])


def judge_slices(model: LoadedModel, slices: Sequence[Slice]) -> list[Judged]:
    """Score slices in one batch and compare each with the usual slices of its kind.

    Args:
        model: that scores and judges them.
        slices: decoded. Eight at a time are enough: more need memory and save no time on a CPU.

    Raises:
        ValueError: a score is not finite.
    """
    if not slices:
        return []
    x = np.stack([to_input(image, model.spec.input) for image in slices])
    return judge_inputs(model, x, [image.facts for image in slices])


def judge_inputs(model: LoadedModel, x: FloatArray, facts: Iterable[SliceFacts]) -> list[Judged]:
    """Judge slices that have been preprocessed already.

    Args:
        model: that scores and judges them.
        x: in [0, 1], [B, 1, S, S], B >= 1.
        facts: what the header says of each slice.

    Raises:
        ValueError: a score is not finite.
    """
    return [
        Judged(scores, judge_scores(model.calibration, scores, header))
        for scores, header in zip(model.score(x), facts, strict=True)
    ]


def judge_scores(calibration: Calibration, scores: Scores, facts: SliceFacts) -> Verdict:
    """Compare the scores of a slice with those of the usual slices of its kind.

    Args:
        calibration: of the model that gave the scores.
        scores: in the order of `model.scoring.COLUMNS`, [K].
        facts: what the header says of the slice.

    Raises:
        ValueError: a score is not finite.
    """
    own = scores[_columns(calibration.channels)]
    verdict = calibration.judge(own, _stratum(scores, facts))
    return replace(verdict, scope_reason=_scope_reason(verdict, facts))


def _scope_reason(verdict: Verdict, facts: SliceFacts) -> str | None:
    """Name the element of the header that puts a slice out of scope, where one does."""
    if facts.other_kind:
        return facts.other_kind
    reason, stated = verdict.scope_reason, stated_region(facts)
    if reason and stated and reason.startswith(f"the region is {stated[0]};"):
        return f"{reason} ({stated[1]})"
    return reason


def usual_slices(
    scores: Scores,
    facts: Iterable[SliceFacts],
    patients: Iterable[str],
    channels: Sequence[str] = CHANNELS,
) -> UsualSlices:
    """Select from the scores of usual slices what a calibration is made of.

    Args:
        scores: in the order of `model.scoring.COLUMNS`, [n, K].
        facts: what the header says of each slice.
        patients: the patient of each slice.
        channels: the scores to calibrate.
    """
    keys = tuple(map(_stratum, scores, facts))
    return UsualSlices(tuple(channels), scores[:, _columns(channels)], tuple(patients), keys)


def _columns(channels: Sequence[str]) -> list[int]:
    return [COLUMNS.index(channel) for channel in channels]


def _stratum(scores: Scores, facts: SliceFacts) -> StratumKey:
    """Name the kind of a slice by its header, else by what the model measured."""
    return stratum_of(facts, Measured(*map(float, scores[_MEASURES])))
