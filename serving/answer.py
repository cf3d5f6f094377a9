"""Decide whether a slice is called an anomaly: by an alarm rate, or by a threshold on the MSE."""

from __future__ import annotations

from dataclasses import dataclass

from model.calibration.alarm_rates import TooFewStudies, check_rate, rate_bound
from model.calibration.calibration import Calibration, Verdict
from serving.contract import Upload
from serving.errors import BadAlarmRate


@dataclass(frozen=True)
class Decision:
    """What was decided, and by what.

    Args:
        is_anomaly: the slice is called an anomaly.
        threshold: of the MSE, if it decided.
        alarm_rate: if it decided.
    """

    is_anomaly: bool
    threshold: float | None
    alarm_rate: float | None


def describe_calibration(calibration: Calibration) -> str:
    """Say what the model's own alarm rate rests on, in one line for the log."""
    n, rate = calibration.n_studies, calibration.alarm_rate
    kinds = ", ".join(str(stratum.key) for stratum in calibration.strata())
    return (
        f"alarm rate {rate:.2%}, in 9 of 10 calibrations at most {rate_bound(rate, n):.2%};"
        f" {n} studies: {kinds}"
    )


def check_alarm_rate(upload: Upload, n_studies: int) -> None:
    """Refuse an alarm rate that no p-value among so many studies can reach.

    Raises:
        BadAlarmRate: says how many studies it takes.
    """
    if upload.alarm_rate is None:
        return
    try:
        check_rate(upload.alarm_rate, n_studies)
    except TooFewStudies as error:
        raise BadAlarmRate(f"{error}; send a higher rate, or a threshold") from error


def decide(upload: Upload, calibration: Calibration, mse: float, verdict: Verdict) -> Decision:
    """Decide as the request asks, else by the model's own alarm rate.

    Args:
        upload: the request.
        calibration: of the model.
        mse: reconstruction MSE of the slice.
        verdict: what the calibration says of it.

    Raises:
        BadAlarmRate: the slice's kind has too few studies for the rate that was asked for.
    """
    if upload.threshold is not None:
        return Decision(mse > upload.threshold, upload.threshold, None)
    check_alarm_rate(upload, verdict.n_studies)
    rate = calibration.alarm_rate if upload.alarm_rate is None else upload.alarm_rate
    return Decision(verdict.p_value <= rate, None, rate)
