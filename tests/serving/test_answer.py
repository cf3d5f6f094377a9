"""Who decides: the model's alarm rate, the request's, or a threshold on the MSE."""

from __future__ import annotations

import numpy as np
import pytest

from model.calibration.calibration import Calibration, Verdict, calibrate
from model.calibration.strata import StratumKey
from serving.answer import Decision, check_alarm_rate, decide, describe_calibration
from serving.contract import Upload, parse_alarm_rate
from serving.errors import BadAlarmRate

T2 = StratumKey("T2", "sagittal", "lumbar", "2D")


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    """99 studies that score 0 to 98."""
    studies = [str(number) for number in range(99)]
    return calibrate(
        np.arange(99.0)[:, None], studies, [T2] * 99, channels=["residual"], alarm_rate=0.05
    )


def asked(threshold: float | None = None, alarm_rate: float | None = None) -> Upload:
    return Upload(b"", threshold, alarm_rate, 0.0)


def scored(calibration: Calibration, score: float) -> Verdict:
    return calibration.judge(np.array([score]), T2)


def test_without_a_wish_the_models_own_rate_decides(calibration: Calibration) -> None:
    # Four are as high as 95 or higher: p = 5 / 100, just low enough; 94 has 6 / 100.
    at, above = scored(calibration, 95), scored(calibration, 94)
    assert decide(asked(), calibration, 9.0, at) == Decision(True, None, 0.05)
    assert decide(asked(), calibration, 9.0, above) == Decision(False, None, 0.05)


def test_the_requests_rate_decides_in_place_of_the_models(calibration: Calibration) -> None:
    verdict = scored(calibration, 95)
    assert decide(asked(alarm_rate=0.04), calibration, 9.0, verdict) == Decision(False, None, 0.04)
    assert decide(asked(alarm_rate=0.5), calibration, 9.0, verdict) == Decision(True, None, 0.5)


def test_a_threshold_decides_on_the_mse_alone(calibration: Calibration) -> None:
    verdict = scored(calibration, 0)
    assert decide(asked(threshold=0.1), calibration, 0.2, verdict) == Decision(True, 0.1, None)
    assert decide(asked(threshold=0.2), calibration, 0.2, verdict) == Decision(False, 0.2, None)


def test_the_log_says_what_the_rate_rests_on(calibration: Calibration) -> None:
    # Beta(5, 95): 90 % of it lies below .0791.
    assert describe_calibration(calibration) == (
        "alarm rate 5.00%, in 9 of 10 calibrations at most 7.91%; 99 studies: T2 sagittal lumbar 2D"
    )


def test_a_rate_that_the_calibration_cannot_hold_says_how_many_studies_it_takes(
    calibration: Calibration,
) -> None:
    check_alarm_rate(asked(alarm_rate=0.01), 99)
    check_alarm_rate(asked(), 0)
    with pytest.raises(BadAlarmRate, match="takes 999 calibration studies, and there are 99"):
        check_alarm_rate(asked(alarm_rate=0.001), 99)


def test_a_rate_that_the_slices_own_kind_cannot_hold_is_refused_after_it_is_known() -> None:
    other = StratumKey("T1", "sagittal", "lumbar", "2D")
    calibration = calibrate(
        np.arange(120.0)[:, None],
        [str(number) for number in range(120)],
        [T2] * 60 + [other] * 60,
        channels=["residual"],
        alarm_rate=0.05,
    )
    check_alarm_rate(asked(alarm_rate=0.01), calibration.n_studies)
    with pytest.raises(BadAlarmRate, match="takes 99 calibration studies, and there are 60"):
        decide(asked(alarm_rate=0.01), calibration, 0.0, scored(calibration, 99))


@pytest.mark.parametrize("text", ["0", "1", "-0.1", "1e-400", "1.5", "nan", "0,05", ""])
def test_a_rate_that_is_not_between_0_and_1_is_refused(text: str) -> None:
    with pytest.raises(BadAlarmRate):
        parse_alarm_rate([text])


def test_a_rate_is_read_from_anywhere_once() -> None:
    assert parse_alarm_rate(["0.01", "1e-2", "null"]) == 0.01
    assert parse_alarm_rate([]) is None
    with pytest.raises(BadAlarmRate, match="twice"):
        parse_alarm_rate(["0.01", "0.02"])
