"""Who decides: the model's alarm rate, the request's, or a threshold on the MSE."""

from __future__ import annotations

import numpy as np
import pytest

from model.calibration.calibration import Calibration
from model.calibration.strata import StratumKey
from model.calibration.usual import calibrate
from serving.answer import Decision, check_alarm_rate, decide, describe_calibration
from serving.errors import BadAlarmRate
from serving.http.upload import parse_alarm_rate
from serving.pipeline import Score

T2 = StratumKey("T2", "sagittal", "lumbar", "2D")


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    """99 patients that score 0 to 98."""
    patients = [str(number) for number in range(99)]
    return calibrate(
        np.arange(99.0)[:, None], patients, [T2] * 99, channels=["residual"], alarm_rate=0.05
    )


def scored(calibration: Calibration, score: float, mse: float = 9.0) -> Score:
    return Score(mse, calibration.judge(np.array([score]), T2), 1, 1)


def test_without_a_wish_the_models_own_rate_decides(calibration: Calibration) -> None:
    # Four are as high as 95 or higher: p = 5 / 100, just low enough; 94 has 6 / 100.
    at, above = scored(calibration, 95), scored(calibration, 94)
    assert decide(None, None, calibration, at) == Decision(True, None, 0.05)
    assert decide(None, None, calibration, above) == Decision(False, None, 0.05)


def test_the_requests_rate_decides_in_place_of_the_models(calibration: Calibration) -> None:
    score = scored(calibration, 95)
    assert decide(None, 0.04, calibration, score) == Decision(False, None, 0.04)
    assert decide(None, 0.5, calibration, score) == Decision(True, None, 0.5)


def test_a_threshold_decides_on_the_mse_alone(calibration: Calibration) -> None:
    score = scored(calibration, 0, mse=0.2)
    assert decide(0.1, None, calibration, score) == Decision(True, 0.1, None)
    assert decide(0.2, None, calibration, score) == Decision(False, 0.2, None)


def test_the_log_says_what_the_rate_rests_on(calibration: Calibration) -> None:
    # Beta(5, 95): 90 % of it lies below .0791.
    assert describe_calibration(calibration) == (
        "alarm rate 5.00%, in 9 of 10 calibrations at most 7.91%;"
        " 99 patients: T2 sagittal lumbar 2D"
    )


def test_a_rate_that_the_calibration_cannot_hold_says_how_many_patients_it_takes(
    calibration: Calibration,
) -> None:
    check_alarm_rate(0.01, 99)
    check_alarm_rate(None, 0)
    with pytest.raises(BadAlarmRate, match="takes 999 calibration patients, and there are 99"):
        check_alarm_rate(0.001, 99)


def test_a_rate_that_the_slices_own_kind_cannot_hold_is_refused_after_it_is_known() -> None:
    other = StratumKey("T1", "sagittal", "lumbar", "2D")
    calibration = calibrate(
        np.arange(120.0)[:, None],
        [str(number) for number in range(120)],
        [T2] * 60 + [other] * 60,
        channels=["residual"],
        alarm_rate=0.05,
    )
    check_alarm_rate(0.01, calibration.n_patients)
    with pytest.raises(BadAlarmRate, match="takes 99 calibration patients, and there are 60"):
        decide(None, 0.01, calibration, scored(calibration, 99))


@pytest.mark.parametrize("text", ["0", "1", "-0.1", "1e-400", "1.5", "nan", "0,05", ""])
def test_a_rate_that_is_not_between_0_and_1_is_refused(text: str) -> None:
    with pytest.raises(BadAlarmRate):
        parse_alarm_rate([text])


def test_a_rate_is_read_from_anywhere_once() -> None:
    assert parse_alarm_rate(["0.01", "1e-2", "null"]) == 0.01
    assert parse_alarm_rate([]) is None
    with pytest.raises(BadAlarmRate, match="twice"):
        parse_alarm_rate(["0.01", "0.02"])
