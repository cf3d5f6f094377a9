"""Count alarms on usual images that a model never saw, next to what calibration promises."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.calibration.alarm_rates import rate_bound
from model.calibration.calibration import Calibration
from model.calibration.usual import UsualSlices
from training.evaluation.statistics import (
    N_DRAWS,
    counted_bound,
    draw_groups,
    interval,
    study_rate,
    study_rates,
)

N_REPEATS = 20


@dataclass(frozen=True)
class Repeat:
    """One random split of all studies into calibration and test."""

    rate: float
    bound: float
    counted_bound: float


@dataclass(frozen=True)
class FalseAlarms:
    """Alarms on usual slices, each study counting once.

    Args:
        alarm_rate: the nominal one.
        bound: what the model prints; in 90 % of calibrations the realised rate stays below it.
        counted_bound: the same for a rate that is counted on no more than these new studies.
        n_calibration_studies: behind the model's calibration.
        n_studies: new ones.
        realised: share of alarms among the new slices, each study counting once.
        low: 2.5th percentile of it over bootstrap samples of studies.
        high: 97.5th percentile.
        study_alarms: share of the new studies that are called an anomaly as a whole.
        repeats: other random splits of all studies.
        within_bound: share of the repeats at or below the printed bound.
        within_counted_bound: share at or below the bound that allows for few new studies.
    """

    alarm_rate: float
    bound: float
    counted_bound: float
    n_calibration_studies: int
    n_studies: int
    realised: float
    low: float
    high: float
    study_alarms: float
    repeats: tuple[Repeat, ...]
    within_bound: float
    within_counted_bound: float


def count_alarms(
    calibration: Calibration, usual: UsualSlices, seed: int, n_repeats: int = N_REPEATS
) -> FalseAlarms:
    """Count alarms of the model itself, and of calibrations on other splits of all studies.

    The model's own alarms are the honest number, but one number only. The repeats split the
    studies of calibration and test at random, as many for calibration as the model has: they show
    whether the promise holds on average, as long as both come from the same scanners.

    Args:
        calibration: of the model.
        usual: slices of studies that were neither trained nor calibrated on.
        seed: of the splits and of the bootstrap.
        n_repeats: how many splits.
    """
    rate, n_new = calibration.alarm_rate, len(set(usual.studies))
    flags = usual.alarms(calibration)
    draws = draw_groups(usual.studies, np.random.default_rng(seed), N_DRAWS)
    low, high = interval(draws.counts @ study_rates(flags, usual.studies) / n_new)
    studies = np.array(usual.studies)
    by_study = [usual.part(studies == study) for study in dict.fromkeys(usual.studies)]
    whole = [calibration.study_p_value(own.scores, own.keys) for own in by_study]
    repeats = _repeats(calibration, usual, seed, n_repeats)
    return FalseAlarms(
        alarm_rate=rate,
        bound=rate_bound(rate, calibration.n_studies),
        counted_bound=counted_bound(calibration.n_studies, n_new, rate),
        n_calibration_studies=calibration.n_studies,
        n_studies=n_new,
        realised=study_rate(flags, usual.studies),
        low=low,
        high=high,
        study_alarms=float((np.array(whole) <= rate).mean()),
        repeats=tuple(repeats),
        within_bound=float(np.mean([repeat.rate <= repeat.bound for repeat in repeats])),
        within_counted_bound=float(np.mean([one.rate <= one.counted_bound for one in repeats])),
    )


def _repeats(
    calibration: Calibration, usual: UsualSlices, seed: int, n_repeats: int
) -> list[Repeat]:
    """Split all studies at random, as many for calibration as the model has."""
    old = [f"calibration {number}" for number in calibration.studies]
    everything = UsualSlices(
        calibration.channels,
        np.concatenate([calibration.scores, usual.scores]),
        (*old, *(f"new {study}" for study in usual.studies)),
        (*(calibration.kinds[number] for number in calibration.kind), *usual.keys),
    )
    names = np.unique(everything.studies)
    n_calibration = calibration.n_studies
    repeats = []
    for number in range(n_repeats):
        order = np.random.default_rng([seed, number]).permutation(names)
        is_old = np.isin(everything.studies, order[:n_calibration])
        split = everything.part(is_old).calibrate(calibration.alarm_rate)
        new = everything.part(~is_old)
        n_new = len(names) - n_calibration
        repeats.append(
            Repeat(
                rate=study_rate(new.alarms(split), new.studies),
                bound=rate_bound(split.alarm_rate, n_calibration),
                counted_bound=counted_bound(n_calibration, n_new, split.alarm_rate),
            )
        )
    return repeats
