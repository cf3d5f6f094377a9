"""The scores of usual slices, and the calibration that is made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.calibration.calibration import Calibration
from model.calibration.conformal import Scores
from model.calibration.strata import StratumKey

# Of a larger set so many are kept: comparing a slice with them takes half a millisecond, and more
# slices of the same patients add little.
MOST_SLICES = 4000


@dataclass(frozen=True)
class UsualSlices:
    """Slices that count as usual, with their scores: what a calibration is made of.

    Args:
        channels: names of the scores.
        scores: [n, C].
        patients: the patient of each slice, [n].
        keys: the kind of each slice, [n].
    """

    channels: tuple[str, ...]
    scores: Scores
    patients: tuple[str, ...]
    keys: tuple[StratumKey, ...]

    def part(self, chosen: NDArray[np.bool_]) -> UsualSlices:
        """Keep some of the slices; `chosen` is [n]."""
        numbers = np.flatnonzero(chosen).tolist()
        return UsualSlices(
            self.channels,
            self.scores[numbers],
            tuple(self.patients[number] for number in numbers),
            tuple(self.keys[number] for number in numbers),
        )

    def calibrate(self, alarm_rate: float) -> Calibration:
        """Make a calibration of these slices.

        Raises:
            TooFewPatients: for the alarm rate.
            ValueError: a score is not finite.
        """
        return calibrate(
            self.scores, self.patients, self.keys, channels=self.channels, alarm_rate=alarm_rate
        )

    def alarms(self, calibration: Calibration) -> NDArray[np.bool_]:
        """Decide for each slice whether it is an anomaly at the calibration's alarm rate: [n]."""
        p_values = [
            calibration.judge(scores, key).p_value
            for scores, key in zip(self.scores, self.keys, strict=True)
        ]
        return np.array(p_values) <= calibration.alarm_rate


def calibrate(
    scores: Scores,
    patients: Sequence[str],
    keys: Sequence[StratumKey],
    *,
    channels: Sequence[str],
    alarm_rate: float,
) -> Calibration:
    """Make a calibration of the scores of usual slices; at most MOST_SLICES are kept.

    Args:
        scores: finite, of slices that the model was not trained on, [n, C].
        patients: the patient of each; a patient counts once.
        keys: the kind of each.
        channels: names of the columns.
        alarm_rate: in (0, 1), saved with the calibration.

    Raises:
        TooFewPatients: for the alarm rate; the message says how many are needed.
        ValueError: a score is not finite, or the parts do not fit together.
    """
    if not len(scores) == len(patients) == len(keys):
        raise ValueError("each slice has one patient and one kind")
    kinds = sorted(set(keys), key=str)
    numbers = {key: number for number, key in enumerate(kinds)}
    kind = np.array([numbers[key] for key in keys], np.int64)
    patient = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)[1]
    kept = _thin(patient, kind)
    return Calibration(
        channels=tuple(channels),
        scores=np.asarray(scores, np.float64)[kept],
        patients=patient[kept],
        kinds=tuple(kinds),
        kind=kind[kept],
        alarm_rate=alarm_rate,
    )


def _thin(patient: NDArray[np.int64], kind: NDArray[np.int64]) -> NDArray[np.int64]:
    """Choose at most MOST_SLICES: one of each kind in each patient, then a second, and so on.

    The choice is random, reproducible and independent of the scores, so that what is kept stays
    exchangeable.

    Returns:
        Indices of the kept slices, ascending.
    """
    order = np.random.default_rng(0).permutation(len(patient))
    seen: Counter[tuple[int, int]] = Counter()
    rank = np.empty(len(patient), np.int64)
    for index in order.tolist():
        group = int(patient[index]), int(kind[index])
        rank[index] = seen[group]
        seen[group] += 1
    chosen = order[np.argsort(rank[order], kind="stable")][:MOST_SLICES]
    return np.sort(chosen)
