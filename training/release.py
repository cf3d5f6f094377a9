"""Decide a threshold, measure held-out patients, put the model into the store."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.autoencoder import Autoencoder
from model.spec import Decision, Provenance
from model.store import save_model
from preprocessing import InputSpec, to_input
from training.config import FitConfig
from training.data import Source
from training.fit import reconstruction_errors
from training.options import Options
from training.phantom import phantom_slice

FloatArray = NDArray[np.float32]

_PACKAGES = ("torch", "numpy", "pydicom", "bentoml", "onnxruntime", "onnx", "safetensors")


def versions() -> dict[str, str]:
    """List what the numbers depend on."""
    found = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **found}


def decide(errors: NDArray[np.float64], sources: Sequence[Source], config: FitConfig) -> Decision:
    """Take the threshold from errors of images by networks that never saw their patients.

    Args:
        errors: out-of-fold reconstruction MSE of the kept images, [N].
        sources: of the same images.
        config: which percentile.
    """
    return Decision(
        threshold=float(np.percentile(errors, config.percentile)),
        percentile=config.percentile,
        n_images=len(errors),
        n_patients=len({source.group for source in sources}),
    )


def measure(
    network: Autoencoder, x: FloatArray, sources: Sequence[Source], decision: Decision
) -> dict[str, float]:
    """Score the held-out patients, on whom nothing was chosen."""
    errors = reconstruction_errors(network, x)
    return {
        "heldout_images": float(len(errors)),
        "heldout_patients": float(len({source.group for source in sources})),
        "heldout_mse_mean": float(errors.mean()),
        "heldout_mse_median": float(np.median(errors)),
        "heldout_mse_p95": float(np.percentile(errors, 95)),
        "heldout_alarm_rate": float((errors > decision.threshold).mean()),
    }


def golden_inputs(spec: InputSpec) -> FloatArray:
    """Make the slices that travel with the model: phantoms, so that no patient's image does."""
    kinds = ("none", "none", "lesion", "noise")
    return np.stack([to_input(phantom_slice(0, i, kind), spec) for i, kind in enumerate(kinds)])


def save(
    options: Options,
    network: Autoencoder,
    kept: Sequence[Source],
    n_removed: int,
    decision: Decision,
    metrics: dict[str, float],
) -> str:
    """Put the model into the store; returns its tag.

    Raises:
        ModelError: the store refused it.
    """
    input_spec = InputSpec(size=options.network.size)
    provenance = Provenance(
        data=options.description or ", ".join(Path(path).name for path in options.data),
        command=options.command,
        seed=options.config.seed,
        n_images=len(kept),
        n_patients=len({source.group for source in kept}),
        n_removed=n_removed,
        epochs=options.config.epochs,
        metrics=metrics,
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    tag = save_model(
        network,
        name=options.name,
        input_spec=input_spec,
        decision=decision,
        provenance=provenance,
        golden=golden_inputs(input_spec),
    )
    return str(tag)
