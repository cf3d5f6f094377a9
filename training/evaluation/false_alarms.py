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
    patient_rate,
    patient_rates,
)

N_REPEATS = 20


@dataclass(frozen=True)
class Repeat:
    """One random split of all patients into calibration and test."""

    rate: float
    bound: float
    counted_bound: float


@dataclass(frozen=True)
class FalseAlarms:
    """Alarms on usual slices, each patient counting once.

    Args:
        alarm_rate: the nominal one.
        bound: what the model prints; in 90 % of calibrations the realised rate stays below it.
        counted_bound: the same for a rate that is counted on no more than these new patients.
        n_calibration_patients: behind the model's calibration.
        n_patients: new ones.
        realised: share of alarms among the new slices, each patient counting once.
        low: 2.5th percentile of it over bootstrap samples of patients.
        high: 97.5th percentile.
        patient_alarms: share of the new patients that are called an anomaly as a whole.
        repeats: other random splits of all patients.
        within_bound: share of the repeats at or below the printed bound.
        within_counted_bound: share at or below the bound that allows for few new patients.
    """

    alarm_rate: float
    bound: float
    counted_bound: float
    n_calibration_patients: int
    n_patients: int
    realised: float
    low: float
    high: float
    patient_alarms: float
    repeats: tuple[Repeat, ...]
    within_bound: float
    within_counted_bound: float


def count_alarms(
    calibration: Calibration, usual: UsualSlices, seed: int, n_repeats: int = N_REPEATS
) -> FalseAlarms:
    """Count alarms of the model itself, and of calibrations on other splits of all patients.

    The model's own alarms are the honest number, but one number only. The repeats split the
    patients of calibration and test at random, as many for calibration as the model has: they show
    whether the promise holds on average, as long as both come from the same scanners.

    Args:
        calibration: of the model.
        usual: slices of patients that were neither trained nor calibrated on.
        seed: of the splits and of the bootstrap.
        n_repeats: how many splits.
    """
    rate, n_new = calibration.alarm_rate, len(set(usual.patients))
    flags = usual.alarms(calibration)
    draws = draw_groups(usual.patients, np.random.default_rng(seed), N_DRAWS)
    low, high = interval(draws.counts @ patient_rates(flags, usual.patients) / n_new)
    patients = np.array(usual.patients)
    by_patient = [usual.part(patients == patient) for patient in dict.fromkeys(usual.patients)]
    whole = [calibration.study_p_value(own.scores, own.keys) for own in by_patient]
    repeats = _repeats(calibration, usual, seed, n_repeats)
    return FalseAlarms(
        alarm_rate=rate,
        bound=rate_bound(rate, calibration.n_patients),
        counted_bound=counted_bound(calibration.n_patients, n_new, rate),
        n_calibration_patients=calibration.n_patients,
        n_patients=n_new,
        realised=patient_rate(flags, usual.patients),
        low=low,
        high=high,
        patient_alarms=float((np.array(whole) <= rate).mean()),
        repeats=tuple(repeats),
        within_bound=float(np.mean([repeat.rate <= repeat.bound for repeat in repeats])),
        within_counted_bound=float(np.mean([one.rate <= one.counted_bound for one in repeats])),
    )


def _repeats(
    calibration: Calibration, usual: UsualSlices, seed: int, n_repeats: int
) -> list[Repeat]:
    """Split all patients at random, as many for calibration as the model has."""
    old = [f"calibration {number}" for number in calibration.patients]
    everything = UsualSlices(
        calibration.channels,
        np.concatenate([calibration.scores, usual.scores]),
        (*old, *(f"new {patient}" for patient in usual.patients)),
        (*(calibration.kinds[number] for number in calibration.kind), *usual.keys),
    )
    names = np.unique(everything.patients)
    n_calibration = calibration.n_patients
    repeats = []
    for number in range(n_repeats):
        order = np.random.default_rng([seed, number]).permutation(names)
        is_old = np.isin(everything.patients, order[:n_calibration])
        split = everything.part(is_old).calibrate(calibration.alarm_rate)
        new = everything.part(~is_old)
        n_new = len(names) - n_calibration
        repeats.append(
            Repeat(
                rate=patient_rate(new.alarms(split), new.patients),
                bound=rate_bound(split.alarm_rate, n_calibration),
                counted_bound=counted_bound(n_calibration, n_new, split.alarm_rate),
            )
        )
    return repeats
