"""One row of a model's scores and the facts of its slice -> what the calibration says of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from model.calibration.calibration import Calibration, Verdict
from model.calibration.conformal import Scores
from model.calibration.strata import Measured, StratumKey, stratum_of
from model.scoring import MEASURES
from preprocessing import SliceFacts


def kind_of(columns: Sequence[str], row: Scores, facts: SliceFacts) -> StratumKey:
    """Name the kind of a slice by its facts and by what the model measured.

    Args:
        columns: names of the scores, among them those of `Measured`.
        row: the scores, [K].
        facts: what the header says.
    """
    seen = (float(row[columns.index(name)]) for name in MEASURES)
    return stratum_of(facts, Measured(*seen))


def judge(
    calibration: Calibration, columns: Sequence[str], row: Scores, facts: SliceFacts
) -> Verdict:
    """Compare a slice with the usual slices of its kind.

    Args:
        calibration: of the model that gave the scores.
        columns: names of the scores.
        row: the scores, [K].
        facts: what the header says.

    Raises:
        ValueError: a score is not finite.
    """
    scores = np.array([row[columns.index(name)] for name in calibration.channels])
    return calibration.judge(scores, kind_of(columns, row, facts))
