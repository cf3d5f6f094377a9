from __future__ import annotations

import numpy as np
import pytest

from model.calibration.alarm_rates import rate_bound
from model.calibration.calibration import Calibration
from model.calibration.strata import StratumKey
from model.calibration.usual import UsualSlices, calibrate
from training.evaluation.false_alarms import count_alarms

KEY = StratumKey("T2", "sagittal", "lumbar", "2D")


def calibration(scores: list[float]) -> Calibration:
    return calibrate(
        np.array(scores)[:, None],
        [f"s{i}" for i in range(len(scores))],
        [KEY] * len(scores),
        channels=("residual",),
        alarm_rate=0.05,
    )


def one_each(scores: list[float]) -> UsualSlices:
    """Slices of a patient of their own each."""
    patients = tuple(f"n{i}" for i in range(len(scores)))
    return UsualSlices(("residual",), np.array(scores)[:, None], patients, (KEY,) * len(scores))


def test_alarms_are_counted_by_patient() -> None:
    # 99 calibration scores 1 to 99: p <= 0.05 where at most 4 are at or above, from 95.5 on.
    usual = UsualSlices(
        ("residual",), np.array([[99.5], [10.0], [20.0], [96.0]]), ("a", "a", "b", "c"), (KEY,) * 4
    )
    found = count_alarms(calibration([float(i) for i in range(1, 100)]), usual, seed=1)
    # Patient a: half of its slices, b: none, c: its only slice.
    assert found.realised == pytest.approx(0.5)
    assert found.n_patients == 3
    assert found.n_calibration_patients == 99
    assert found.bound == rate_bound(0.05, 99)
    assert 0 <= found.low <= found.realised <= found.high <= 1


def test_repeats_keep_the_promise_where_all_patients_are_alike() -> None:
    rng = np.random.default_rng(5)
    usual = UsualSlices(
        ("residual",), rng.normal(size=(60, 1)), tuple(f"n{i}" for i in range(60)), (KEY,) * 60
    )
    found = count_alarms(calibration(rng.normal(size=100).tolist()), usual, seed=2)
    assert len(found.repeats) == 20
    assert np.mean([repeat.rate for repeat in found.repeats]) == pytest.approx(0.05, abs=0.02)
    assert found.within_counted_bound >= 0.8
    assert found.counted_bound >= found.bound


def test_another_scanner_shows_in_the_models_own_alarms() -> None:
    rng = np.random.default_rng(6)
    usual = UsualSlices(
        ("residual",),
        rng.normal(5, 1, size=(20, 1)),
        tuple(f"n{i}" for i in range(20)),
        (KEY,) * 20,
    )
    found = count_alarms(calibration(rng.normal(size=100).tolist()), usual, seed=3)
    assert found.realised > 0.9
    assert found.patient_alarms > 0.9
