"""Score folds by the autoencoder alone: its reconstruction MSE."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from training.fit import fit, reconstruction_errors
from training.folds import FoldJob, ScoreArray

COLUMNS = ("reconstruction_mse",)


def train_and_score(job: FoldJob) -> ScoreArray:
    """Train on `job.train` from new weights, score `job.scored`: [n_scored, 1]."""
    x = np.load(job.inputs, mmap_mode="r", allow_pickle=False)
    per_epoch = max(1, len(job.train) // job.config.batch_size)
    epochs = max(1, round(job.config.epochs * job.steps_per_epoch / per_epoch))
    scored = np.asarray(x[job.scored], np.float32)
    fitted = fit(
        np.asarray(x[job.train], np.float32),
        scored[:2],
        job.network,
        replace(job.config, epochs=epochs, seed=job.config.seed + 1000 * (job.fold + 1)),
        round_number=job.round,
        device=job.device,
        checkpoint=job.folder / "fold.safetensors",
    )
    return reconstruction_errors(fitted.network, scored)[:, None]
