"""Usual slices: what is kept of them, and which of them raise an alarm."""

from __future__ import annotations

import numpy as np

from model.calibration.strata import StratumKey
from model.calibration.usual import MOST_SLICES, UsualSlices, calibrate

T1 = StratumKey("T1", "sagittal", "lumbar", "2D")
T2 = StratumKey("T2", "sagittal", "lumbar", "2D")


def usual(scores: list[float], patients: str) -> UsualSlices:
    """T2 slices with one score each; each letter of `patients` names a patient."""
    return UsualSlices(("a",), np.array(scores)[:, None], tuple(patients), (T2,) * len(scores))


def test_a_part_keeps_scores_patients_and_kinds_together() -> None:
    part = usual([1.0, 2.0, 3.0], "xxy").part(np.array([False, True, True]))
    assert part.scores.tolist() == [[2.0], [3.0]]
    assert (part.patients, part.keys) == (("x", "y"), (T2, T2))


def test_a_slice_alarms_where_its_p_value_is_at_most_the_alarm_rate() -> None:
    # 24 patients score 0 to 23. Above all of them p is 1 / 25, above all but one 2 / 25.
    numbers = [float(number) for number in range(24)]
    calibration = usual(numbers, "abcdefghijklmnopqrstuvwx").calibrate(alarm_rate=0.05)
    assert usual([22.5, 23.5], "yz").alarms(calibration).tolist() == [False, True]


def test_of_very_many_slices_each_patient_keeps_some_of_each_kind() -> None:
    # 1000 patients of 5 T1 and 5 T2: 4000 stay, which are two of each kind.
    patients = [str(number // 10) for number in range(10_000)]
    keys = [T1, T2] * 5000
    calibration = calibrate(
        np.arange(10_000.0)[:, None], patients, keys, channels=["a"], alarm_rate=0.05
    )
    kept = calibration.scores[:, 0].astype(int)
    assert len(kept) == MOST_SLICES == 4000
    assert (np.bincount(kept // 10 * 2 + kept % 2) == 2).all()
    np.testing.assert_array_equal(
        calibration.patients, np.unique(patients, return_inverse=True)[1][kept]
    )
    assert calibration.n_patients == 1000
