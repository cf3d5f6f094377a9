"""One slice's scores -> the answer of the contenders that use the released model."""

from __future__ import annotations

from model.calibration.calibration import Calibration
from model.calibration.conformal import Scores
from model.judge import judge_scores
from preprocessing import SliceFacts

Answer = dict[str, str | float | bool | list[str] | None]


def answer(calibration: Calibration, row: Scores, facts: SliceFacts) -> Answer:
    """Judge a slice as SpineAnomaly does.

    Args:
        calibration: of the model.
        row: the scores, [K].
        facts: from the header.
    """
    verdict = judge_scores(calibration, row, facts)
    return {
        "reconstruction_mse": float(row[0]),
        "anomaly_score": round(verdict.anomaly_score, 4),
        "p_value": verdict.p_value,
        "channel": verdict.channel,
        "is_anomaly": verdict.p_value <= calibration.alarm_rate,
        "alarm_rate": calibration.alarm_rate,
        "threshold": None,
        "in_scope": verdict.scope_reason is None,
        "scope_reason": verdict.scope_reason,
        "pooled": verdict.is_pooled,
        "frame": 1,
        "frames": 1,
        "frames_in_scope": int(verdict.scope_reason is None),
        "notes": [],
    }
