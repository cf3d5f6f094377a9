from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.training.small import INSPECTOR, NETWORK, QUICK
from tests.training.usual_slices import usual_set
from training.cleaning.fold_training import train_and_score
from training.cleaning.folds import FoldJob
from training.networks.detector import load_detector


def test_a_fold_gives_its_scores_and_keeps_its_networks(tmp_path: Path) -> None:
    data = usual_set()
    np.save(tmp_path / "x.npy", data.x)
    np.save(tmp_path / "labels.npy", data.labels)
    train, scored = np.arange(4, 24), np.arange(4)
    job = FoldJob(
        inputs=tmp_path / "x.npy",
        labels=tmp_path / "labels.npy",
        train=train,
        series=data.series[train],
        kinds=data.kinds[train],
        scored=scored,
        networks=(NETWORK, INSPECTOR),
        config=QUICK,
        round=1,
        fold=2,
        folder=tmp_path / "fold",
    )
    job.folder.mkdir()
    scores = train_and_score(job)
    kept = load_detector(job.folder, (NETWORK, INSPECTOR))
    # Loaded, the weights lie in another order in memory, which rounds differently.
    found = kept.score(data.x, scored)
    np.testing.assert_allclose(found[:, 0], scores[:, 0], rtol=1e-6)
    np.testing.assert_allclose(found, scores, rtol=1e-4, atol=1e-6)
    another = replace(job, fold=1, folder=tmp_path / "another")
    another.folder.mkdir()
    other = train_and_score(another)
    assert not np.array_equal(other, scores)
