"""A calibration: its strata, its verdicts, its file."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model.calibration.alarm_rates import TooFewPatients
from model.calibration.calibration import Calibration
from model.calibration.strata import StratumKey
from model.calibration.usual import calibrate

T1 = StratumKey("T1", "sagittal", "lumbar", "2D")
T2 = StratumKey("T2", "sagittal", "lumbar", "2D")
SPACE = StratumKey("T2", "sagittal", "lumbar", "3D")
AXIAL = StratumKey("T2", "axial", "lumbar", "2D")


def made(
    counts: dict[StratumKey, int], *, per_patient: int = 1, shift: float = 0.0, rate: float = 0.05
) -> Calibration:
    """A calibration of one channel: the patients of each kind score 0, 1, 2 ... + shift * kind."""
    keys = [key for key, n in counts.items() for _ in range(n * per_patient)]
    scores = [
        patient + shift * number
        for number, n in enumerate(counts.values())
        for patient in range(n)
        for _ in range(per_patient)
    ]
    patients = [
        f"{number}/{patient}"
        for number, n in enumerate(counts.values())
        for patient in range(n)
        for _ in range(per_patient)
    ]
    return calibrate(
        np.array(scores)[:, None], patients, keys, channels=["residual"], alarm_rate=rate
    )


def judged(calibration: Calibration, score: float, key: StratumKey) -> Any:
    return calibration.judge(np.array([score]), key)


def test_a_kind_with_60_patients_is_compared_with_its_own() -> None:
    calibration = made({T1: 60, T2: 60}, shift=1000.0)
    verdict = judged(calibration, 59.5, T1)
    # None of the 60 is as high: 1 / 61.
    assert verdict.p_value == 1 / 61
    assert (verdict.n_patients, verdict.is_pooled, verdict.scope_reason) == (60, False, None)
    assert judged(calibration, 59.5, T2).p_value == 1.0


def test_a_kind_with_fewer_is_compared_with_its_relatives_first_and_flagged() -> None:
    calibration = made({T1: 60, T2: 60, SPACE: 59})
    verdict = judged(calibration, 58.5, SPACE)
    # Of 60 T2 and 59 SPACE one is as high: 2 / 120. The T1 are none of its relatives.
    assert verdict.p_value == 2 / 120
    assert (verdict.n_patients, verdict.is_pooled, verdict.scope_reason) == (119, True, None)


def test_where_no_relatives_are_enough_all_are_the_pool() -> None:
    verdict = judged(made({T1: 20, SPACE: 10}), 5.0, SPACE)
    assert (verdict.n_patients, verdict.is_pooled, verdict.scope_reason) == (30, True, None)


def test_patients_and_phantoms_are_compared_with_each_other_only_without_a_choice() -> None:
    patient, phantom = replace(T2, subject="patient"), replace(T1, subject="phantom")
    mixed = made({patient: 20, phantom: 80})
    verdict = judged(mixed, 5.0, replace(SPACE, subject="patient"))
    assert (verdict.n_patients, verdict.is_pooled) == (20, True)
    # 19 are the fewest that reach a p-value of 5 %.
    assert judged(made({patient: 18, phantom: 80}), 5.0, patient).n_patients == 98
    other = judged(mixed, 5.0, replace(T1, subject="synthetic phantom"))
    assert (other.n_patients, other.is_pooled) == (80, True), "those of the same contrast"
    assert other.scope_reason == (
        "the image is of a synthetic phantom; the calibration has only patients or phantoms"
    )


def test_a_kind_that_was_never_seen_is_out_of_scope_and_compared_with_the_pool() -> None:
    verdict = judged(made({T1: 60, T2: 60}), 5.0, AXIAL)
    assert verdict.scope_reason == "the plane is axial; the calibration has only sagittal"
    assert (verdict.n_patients, verdict.is_pooled) == (120, True)


def test_a_slice_without_tags_is_compared_with_all_that_it_may_be() -> None:
    verdict = judged(made({T1: 60, T2: 60, SPACE: 10}), 5.0, StratumKey("T2", "sagittal"))
    assert (verdict.n_patients, verdict.is_pooled, verdict.scope_reason) == (70, False, None)


def test_a_patient_in_the_pool_counts_once() -> None:
    calibration = made({T1: 30}, per_patient=3)
    # Patient 29 alone is as high: 2 / 31.
    assert judged(calibration, 28.5, T1).p_value == pytest.approx(2 / 31, abs=1e-15)
    assert calibration.n_patients == 30


def test_the_anomaly_score_is_the_largest_logarithm_over_the_channels() -> None:
    scores = np.column_stack([np.arange(99.0), np.zeros(99)])
    calibration = calibrate(
        scores, list(map(str, range(99))), [T2] * 99, channels=["a", "b"], alarm_rate=0.05
    )
    # 50 of 99 are as high as 49, and itself: .51; all are as high as 0 on b.
    verdict = calibration.judge(np.array([49.0, 0.0]), T2)
    assert verdict.anomaly_score == pytest.approx(-math.log10(0.51))
    assert verdict.channel == "a"
    far = calibration.judge(np.array([49.0, 1.0]), T2)
    assert (far.channel, far.p_value) == ("b", 0.01)
    assert far.anomaly_score > verdict.anomaly_score


def test_a_farther_outlier_has_a_higher_anomaly_score_and_no_lower_p_value() -> None:
    calibration = made({T2: 60})
    near, far = judged(calibration, 61.0, T2), judged(calibration, 90.0, T2)
    assert near.p_value == far.p_value == 1 / 61
    assert far.anomaly_score > near.anomaly_score > math.log10(61 / 6)


def test_an_endless_outlier_is_judged_like_any_other() -> None:
    verdict = judged(made({T2: 60}), 1e300, T2)
    assert math.isfinite(verdict.anomaly_score)
    assert verdict.p_value == 1 / 61


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        judged(made({T2: 60}), bad, T2)
    with pytest.raises(ValueError, match="finite"):
        calibrate(np.full((60, 1), bad), ["a"] * 60, [T2] * 60, channels=["a"], alarm_rate=0.5)


def test_too_few_patients_for_the_rate_are_refused_with_the_number_it_takes() -> None:
    with pytest.raises(TooFewPatients, match=r"takes 19 calibration patients, and there are 1;"):
        calibrate(np.zeros((40, 1)), ["a"] * 40, [T2] * 40, channels=["residual"], alarm_rate=0.05)
    calibration = made({T2: 60})
    calibration.check_rate(0.02)
    with pytest.raises(TooFewPatients, match="99 calibration patients, and there are 60"):
        calibration.check_rate(0.01)


def test_a_stricter_saved_rate_takes_larger_strata() -> None:
    calibration = made({T2: 60, SPACE: 60}, rate=0.01)
    assert judged(calibration, 5.0, T2).n_patients == 120


def test_the_strata_are_listed_with_the_bound_of_their_rate() -> None:
    first, second = made({T1: 100, SPACE: 20}).strata()
    assert (first.key, first.n_patients, first.n_compared, first.is_pooled) == (T1, 100, 100, False)
    assert round(first.bound, 3) == 0.078
    assert (second.key, second.n_slices, second.n_compared, second.is_pooled) == (
        *(SPACE, 20, 120, True),
    )


def test_a_patient_is_compared_by_its_maximum_with_the_maxima_of_patients() -> None:
    # Patients of 4 slices, maxima 3, 7 ... 79; five of 20 are above 62.5: 63 to 79.
    scores = np.arange(80.0)[:, None]
    patients = [str(number // 4) for number in range(80)]
    calibration = calibrate(scores, patients, [T2] * 80, channels=["a"], alarm_rate=0.05)
    new = np.array([1.0, 2.0, 62.5, 3.0])[:, None]
    assert calibration.study_p_value(new, [T2] * 4) == (1 + 5) / 21


def patient_scores(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Ten slices of n patients on four channels, alike within a patient."""
    patient = rng.normal(size=(n, 1, 4))
    scores: NDArray[np.float64] = np.exp(patient + rng.normal(size=(n, 10, 4)))
    return scores


def test_patients_of_ten_slices_alarm_at_the_rate_of_patients() -> None:
    rng = np.random.default_rng(3)
    keys = ([T1] * 5 + [T2] * 5) * 40
    by_patient, by_slice = [], []
    for _ in range(20):
        scores = patient_scores(rng, 50)
        calibration = calibrate(
            scores[:40].reshape(-1, 4),
            [str(number // 10) for number in range(400)],
            keys,
            channels=list("abcd"),
            alarm_rate=0.1,
        )
        for new in scores[40:]:
            by_patient.append(calibration.study_p_value(new, keys[:10]) <= 0.1)
            slices = zip(new, keys[:10], strict=True)
            by_slice.append(any(calibration.judge(*each).p_value <= 0.1 for each in slices))
    # 200 patients: a standard error of .02. Slices at 10 % each alarm in far more of them.
    assert 0.04 < np.mean(by_patient) < 0.16
    assert np.mean(by_slice) > 0.3


def test_a_patient_without_slices_or_with_kinds_missing_is_refused() -> None:
    calibration = made({T2: 60})
    for scores, keys in ((np.zeros((0, 1)), []), (np.zeros((2, 1)), [T2])):
        with pytest.raises(ValueError, match="a kind for each slice"):
            calibration.study_p_value(scores, keys)


def saved_and_loaded(arrays: dict[str, NDArray[Any]]) -> Calibration:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # numpy types allow_pickle beside
    buffer.seek(0)
    with np.load(buffer, allow_pickle=False) as read:
        return Calibration.from_arrays(read)


def test_a_file_without_objects_gives_back_the_same_verdicts() -> None:
    calibration = made({T1: 60, StratumKey("T2", "sagittal"): 30}, per_patient=2)
    again = saved_and_loaded(calibration.to_arrays())
    for key in (T1, T2, AXIAL):
        assert judged(again, 12.5, key) == judged(calibration, 12.5, key)
    assert again.kinds == calibration.kinds
    assert again.alarm_rate == 0.05


def test_a_calibration_that_names_no_subject_is_of_patients() -> None:
    arrays = made({T2: 60}).to_arrays()
    older = saved_and_loaded(arrays | {"kinds": arrays["kinds"][:, :4]})
    assert older.kinds == (replace(T2, subject="patient"),)
    assert judged(older, 5.0, replace(T2, subject="phantom")).scope_reason == (
        "the image is of a phantom; the calibration has only patients"
    )


def test_a_calibration_that_counted_studies_is_still_read() -> None:
    calibration = made({T2: 60})
    arrays = calibration.to_arrays()
    arrays["studies"] = arrays.pop("patients")
    older = saved_and_loaded(arrays)
    assert older.n_patients == 60
    assert judged(older, 12.5, T2) == judged(calibration, 12.5, T2)


@pytest.mark.parametrize(
    "changes",
    [
        {"scores": np.full((60, 1), np.nan)},
        {"scores": np.zeros((59, 1))},
        {"scores": np.zeros((60, 2))},
        {"scores": np.zeros(60)},
        {"channels": np.array([], dtype=np.str_)},
        {"patients": np.zeros((60, 1), np.int64)},
        {"patients": np.zeros(60, np.int64)},
        {"kind": np.full(60, 1)},
        {"kind": np.full(60, -1)},
        {"kinds": np.array([["T2", "sagittal", "lumbar"] + ["2D"] * 2])},
        {"kinds": np.array([["Doe^John", "", "", ""]])},
        {"kinds": np.array("T2")},
        {"alarm_rate": np.array(np.nan)},
        {"alarm_rate": np.array([0.05, 0.05])},
        {"alarm_rate": np.array(0.001)},
        {"alarm_rate": np.array("much")},
    ],
    ids=str,
)
def test_a_file_with_a_part_that_does_not_fit_is_refused(changes: dict[str, Any]) -> None:
    arrays = made({T2: 60}).to_arrays()
    assert saved_and_loaded(arrays) is not None
    with pytest.raises(ValueError, match=r"."):
        saved_and_loaded(arrays | changes)


@pytest.mark.parametrize("name", ["channels", "scores", "patients", "kinds", "kind", "alarm_rate"])
def test_a_file_that_lacks_a_part_is_refused(name: str) -> None:
    arrays = made({T2: 60}).to_arrays()
    del arrays[name]
    with pytest.raises(ValueError, match="lacks a part"):
        saved_and_loaded(arrays)


def test_parts_that_do_not_fit_are_refused() -> None:
    calibration = made({T2: 60})
    with pytest.raises(ValueError, match="one kind"):
        replace(calibration, kind=np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="named twice"):
        replace(calibration, channels=("a", "a"), scores=np.zeros((60, 2)))
    with pytest.raises(ValueError, match="one patient and one kind"):
        calibrate(np.zeros((3, 1)), ["a"], [T2], channels=["a"], alarm_rate=0.5)
