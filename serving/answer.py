"""Decide whether a slice is called an anomaly, and write the answer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.calibration.alarm_rates import TooFewPatients, check_rate, rate_bound
from model.calibration.calibration import Calibration
from serving.contract import REQUEST_ID, UPLOAD, Prediction
from serving.errors import BadAlarmRate
from serving.pipeline import Score


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
    """Describe in one line, for the log, what the model's own alarm rate rests on."""
    n, rate = calibration.n_patients, calibration.alarm_rate
    kinds = ", ".join(str(stratum.key) for stratum in calibration.strata())
    return (
        f"alarm rate {rate:.2%}, in 9 of 10 calibrations at most {rate_bound(rate, n):.2%};"
        f" {n} patients: {kinds}"
    )


def check_alarm_rate(alarm_rate: float | None, n_patients: int) -> None:
    """Refuse an alarm rate that no p-value among so many patients can reach.

    Raises:
        BadAlarmRate: with the number of patients that the rate takes.
    """
    if alarm_rate is None:
        return
    try:
        check_rate(alarm_rate, n_patients)
    except TooFewPatients as error:
        raise BadAlarmRate(f"{error}; send a higher rate, or a threshold") from error


def decide(
    threshold: float | None, alarm_rate: float | None, calibration: Calibration, score: Score
) -> Decision:
    """Decide as the request asks, or else by the model's own alarm rate.

    Args:
        threshold: of the MSE, as asked for.
        alarm_rate: as asked for.
        calibration: of the model.
        score: of the slice.

    Raises:
        BadAlarmRate: the slice's kind has too few patients for the rate that was asked for.
    """
    if threshold is not None:
        return Decision(score.reconstruction_mse > threshold, threshold, None)
    check_alarm_rate(alarm_rate, score.verdict.n_patients)
    rate = calibration.alarm_rate if alarm_rate is None else alarm_rate
    return Decision(score.verdict.p_value <= rate, None, rate)


def write_answer(
    score: Score, decision: Decision, model: str, scope: Mapping[str, Any]
) -> Prediction:
    """Write the answer for a file.

    Args:
        score: of its most anomalous frame.
        decision: what was decided.
        model: its tag.
        scope: of the request, as the gate left it.
    """
    verdict = score.verdict
    return Prediction(
        reconstruction_mse=score.reconstruction_mse,
        anomaly_score=round(verdict.anomaly_score, 4),
        p_value=verdict.p_value,
        channel=verdict.channel,
        is_anomaly=decision.is_anomaly,
        alarm_rate=decision.alarm_rate,
        threshold=decision.threshold,
        in_scope=verdict.scope_reason is None,
        scope_reason=verdict.scope_reason,
        pooled=verdict.is_pooled,
        inference_time_ms=round((time.perf_counter() - scope[UPLOAD].received_at) * 1e3, 3),
        frame=score.frame,
        frames=score.frames,
        frames_in_scope=score.frames_in_scope,
        notes=list(score.notes),
        model=model,
        request_id=scope[REQUEST_ID],
    )
