"""What a fold's process does: train a detector on its job, score the images it did not train on."""

from __future__ import annotations

import torch

from training.cleaning.folds import FoldJob, OnStretch, ScoreArray
from training.networks.detector import save_detector, train_detector


def train_and_score(job: FoldJob, on_stretch: OnStretch = lambda metrics: None) -> ScoreArray:
    """Train on `job.train` from new weights, score `job.scored`: [n_scored, K].

    The networks stay in the job's folder for the audit's maps.
    """
    torch.set_num_threads(job.threads)
    trained = train_detector(
        job.training_set(),
        job.networks,
        job.config,
        seed=(job.config.seed, job.round, job.fold),
        folder=job.folder,
        device=job.device,
        on_stretch=on_stretch,
    )
    scores = trained.score(job.open_inputs(), job.scored)
    save_detector(trained, job.folder)
    return scores
