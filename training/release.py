"""Calibrate, measure on held-out patients, save the model in the store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.calibration.alarm_rates import TooFewPatients, rate_bound
from model.calibration.calibration import Calibration
from model.calibration.usual import UsualSlices
from model.export import Trained
from model.judge import usual_slices
from model.scoring import ScoreArray
from model.spec import Decision, Provenance
from model.store.save import save_model
from preprocessing import InputSpec, to_input
from training.config import FitConfig
from training.data.headers import Source
from training.errors import TooFewImages
from training.networks.detector import TrainedDetector
from training.options import Options, versions
from training.phantoms.phantom import phantom_slice

FloatArray = NDArray[np.float32]


def calibrate_kept(scores: ScoreArray, sources: Sequence[Source], alarm_rate: float) -> Calibration:
    """Calibrate on the kept images, scored by networks that never saw their patients.

    Args:
        scores: all columns, [N, K].
        sources: of the same images.
        alarm_rate: saved with the model.

    Raises:
        TooFewImages: too few patients for the alarm rate; the message says how many are needed.
    """
    try:
        return _usual(scores, sources).calibrate(alarm_rate)
    except TooFewPatients as error:
        raise TooFewImages(
            f"{error}, after cleaning; add patients, or choose a higher --alarm-rate"
        ) from error


def decide(errors: ScoreArray, sources: Sequence[Source], config: FitConfig) -> Decision:
    """Choose the threshold of the MSE by networks that never saw the images' patients.

    Args:
        errors: out-of-fold reconstruction MSE of the kept images, [N].
        sources: of the same images.
        config: has the percentile.
    """
    return Decision(
        threshold=float(np.percentile(errors, config.percentile)),
        percentile=config.percentile,
        n_images=len(errors),
        n_patients=len({source.group for source in sources}),
    )


def measure(
    scores: ScoreArray, sources: Sequence[Source], calibration: Calibration, decision: Decision
) -> dict[str, float]:
    """Measure the model on the held-out patients, on whom nothing was chosen.

    Args:
        scores: theirs, all columns, [N, K].
        sources: of the same images.
        calibration: of the model.
        decision: of the model.
    """
    errors = scores[:, 0]
    return {
        "heldout_images": float(len(errors)),
        "heldout_patients": float(len({source.group for source in sources})),
        "heldout_mse_mean": float(errors.mean()),
        "heldout_mse_median": float(np.median(errors)),
        "heldout_mse_p95": float(np.percentile(errors, 95)),
        "heldout_above_threshold": float((errors > decision.threshold).mean()),
        "heldout_alarm_rate": float(_usual(scores, sources).alarms(calibration).mean()),
    }


def _usual(scores: ScoreArray, sources: Sequence[Source]) -> UsualSlices:
    facts, patients = zip(*((source.facts, source.group) for source in sources), strict=True)
    return usual_slices(scores, facts, patients)


def describe(calibration: Calibration) -> dict[str, Any]:
    """Describe a calibration for run.json, with the 90 % bound of its realised alarm rate."""
    return {
        "alarm_rate": calibration.alarm_rate,
        "slices": len(calibration.scores),
        "patients": calibration.n_patients,
        "bound": rate_bound(calibration.alarm_rate, calibration.n_patients),
    }


def golden_inputs(spec: InputSpec) -> FloatArray:
    """Make the slices that travel with the model: phantoms, never images of patients."""
    kinds = ("none", "none", "lesion", "noise")
    return np.stack([to_input(phantom_slice(0, i, kind), spec) for i, kind in enumerate(kinds)])


def save(
    options: Options,
    trained: TrainedDetector,
    judged: tuple[Calibration, Decision],
    kept: Sequence[Source],
    n_removed: int,
    metrics: dict[str, float],
) -> str:
    """Save the model in the store and return its tag.

    Raises:
        ModelError: the store refused it.
    """
    input_spec, config = InputSpec(size=options.inspector.size), options.config
    provenance = Provenance(
        data=options.description or ", ".join(Path(path).name for path in options.data),
        command=options.command,
        seed=config.seed,
        n_images=len(kept),
        n_patients=len({source.group for source in kept}),
        n_removed=n_removed,
        epochs=config.steps * config.batch_size // max(1, len(kept)),
        metrics=metrics,
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    model = Trained(
        detector=trained.detector,
        reference=trained.reference,
        calibration=judged[0],
        input_spec=input_spec,
        decision=judged[1],
        provenance=provenance,
        golden=golden_inputs(input_spec),
    )
    return str(save_model(model, name=options.name))
