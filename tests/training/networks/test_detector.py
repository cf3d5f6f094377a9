from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.runtime import load_model
from model.scoring import COLUMNS
from model.store.find import find_directory
from model.store.save import save_model
from tests.small_model import small_model
from tests.training.small import INSPECTOR, NETWORK, QUICK, weights
from tests.training.usual_slices import usual_set
from training.data.training_set import TrainingSet
from training.networks.detector import (
    TrainedDetector,
    load_detector,
    save_detector,
    train_detector,
)
from training.steps import StretchMetrics

NETWORKS = (NETWORK, INSPECTOR)
SEED = (0, 1, 2)


@pytest.fixture(scope="module")
def data() -> TrainingSet:
    return usual_set()


@pytest.fixture(scope="module")
def trained(data: TrainingSet, tmp_path_factory: pytest.TempPathFactory) -> TrainedDetector:
    return train_detector(
        data, NETWORKS, QUICK, seed=SEED, folder=tmp_path_factory.mktemp("trained")
    )


def same(first: TrainedDetector, second: TrainedDetector) -> bool:
    """Whether both are equal to the last bit."""
    references = (first.reference.to_arrays(), second.reference.to_arrays())
    return weights(first.detector) == weights(second.detector) and all(
        np.array_equal(references[0][name], references[1][name]) for name in references[0]
    )


def test_the_same_seed_gives_the_same_detector_whether_or_not_it_is_interrupted(
    data: TrainingSet, trained: TrainedDetector, tmp_path: Path
) -> None:
    def kill(metrics: StretchMetrics) -> None:
        if metrics.network == "inspector":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_detector(data, NETWORKS, QUICK, seed=SEED, folder=tmp_path, on_stretch=kill)
    seen: list[str] = []
    resumed = train_detector(
        data,
        NETWORKS,
        QUICK,
        seed=SEED,
        folder=tmp_path,
        on_stretch=lambda metrics: seen.append(metrics.network),
    )
    assert seen == ["inspector"]  # the autoencoder was finished
    assert same(resumed, trained)


def test_a_saved_detector_is_the_same_one(trained: TrainedDetector, tmp_path: Path) -> None:
    save_detector(trained, tmp_path)
    assert same(load_detector(tmp_path, NETWORKS), trained)


def test_the_reference_is_that_of_the_slices_trained_on(
    data: TrainingSet, trained: TrainedDetector
) -> None:
    n_features = 2 * sum(INSPECTOR.channels) + NETWORK.latent + 2 + len(INSPECTOR.faults)
    assert trained.reference.centres.shape == (2, n_features)  # one for each contrast
    assert trained.reference.whitening.shape == (n_features, n_features)


def test_scores_come_in_the_order_asked_for_and_do_not_depend_on_the_others(
    data: TrainingSet, trained: TrainedDetector
) -> None:
    every = trained.score(data.x, data.train)
    assert every.shape == (24, len(COLUMNS))
    assert np.isfinite(every).all()
    chosen = np.array([20, 3, 11])
    some = trained.score(data.x, chosen)
    np.testing.assert_allclose(some[:, 0], every[chosen, 0], rtol=1e-6)
    np.testing.assert_allclose(some, every[chosen], rtol=1e-4, atol=1e-6)


def test_what_training_scores_is_what_a_saved_model_scores(
    data: TrainingSet, trained: TrainedDetector, model_store: Path
) -> None:
    whole = replace(
        small_model(INSPECTOR.size),
        detector=trained.detector,
        reference=trained.reference,
        golden=data.x[:2].astype(np.float32),
    )
    saved = load_model(find_directory(str(save_model(whole, name="trained"))))
    x = data.x[:5].astype(np.float32)
    ours = trained.score(data.x, np.arange(5))
    np.testing.assert_allclose(saved.score(x)[:, 0], ours[:, 0], rtol=1e-5)
    np.testing.assert_allclose(saved.score(x), ours, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(saved.anomaly_map(x), trained.anomaly_map(x), atol=1e-4)
