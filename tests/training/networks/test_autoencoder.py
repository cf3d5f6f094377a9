from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.networks.autoencoder import Autoencoder
from tests.training.small import NETWORK, weights
from tests.training.usual_slices import usual_set
from training.config import FitConfig
from training.data.training_set import TrainingSet
from training.errors import Diverged, NotResumable
from training.networks.autoencoder import augment, fit_autoencoder, learning_rate
from training.steps import StretchMetrics

FloatArray = NDArray[np.float32]
SEED = (0, 1, 2)
CONFIG = FitConfig(steps=210, batch_size=4)


@pytest.fixture(scope="module")
def data() -> TrainingSet:
    return usual_set()


@pytest.fixture(scope="module")
def whole(data: TrainingSet) -> Autoencoder:
    """Trained without an interruption."""
    return fit_autoencoder(data, NETWORK, CONFIG, seed=SEED)


def test_the_same_seed_gives_the_same_weights(data: TrainingSet, whole: Autoencoder) -> None:
    again = fit_autoencoder(data, NETWORK, CONFIG, seed=SEED)
    assert weights(again) == weights(whole)
    other = fit_autoencoder(data, NETWORK, replace(CONFIG, steps=3), seed=(0, 1, 3))
    same = fit_autoencoder(data, NETWORK, replace(CONFIG, steps=3), seed=SEED)
    assert weights(other) != weights(same)


@pytest.mark.parametrize("killed_at", [200, 210])
def test_a_resumed_training_equals_an_uninterrupted_one(
    data: TrainingSet, whole: Autoencoder, tmp_path: Path, killed_at: int
) -> None:
    def kill(metrics: StretchMetrics) -> None:
        if metrics.step == killed_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_autoencoder(data, NETWORK, CONFIG, seed=SEED, folder=tmp_path, on_stretch=kill)
    seen: list[StretchMetrics] = []
    resumed = fit_autoencoder(
        data, NETWORK, CONFIG, seed=SEED, folder=tmp_path, on_stretch=seen.append
    )
    assert weights(resumed) == weights(whole)
    assert [metrics.step for metrics in seen] == [200, 210][killed_at // 210 :]


def test_a_finished_training_is_not_repeated(
    data: TrainingSet, whole: Autoencoder, tmp_path: Path
) -> None:
    fit_autoencoder(data, NETWORK, CONFIG, seed=SEED, folder=tmp_path)
    seen: list[StretchMetrics] = []
    again = fit_autoencoder(
        data, NETWORK, CONFIG, seed=SEED, folder=tmp_path, on_stretch=seen.append
    )
    assert not seen
    assert weights(again) == weights(whole)
    assert [file.name for file in tmp_path.iterdir()] == ["autoencoder.safetensors"]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\xff" * 64])
def test_a_damaged_checkpoint_is_refused(data: TrainingSet, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "autoencoder.safetensors").write_bytes(content)
    with pytest.raises(NotResumable, match="delete it"):
        fit_autoencoder(data, NETWORK, CONFIG, seed=SEED, folder=tmp_path)


def test_a_checkpoint_of_another_network_is_refused(data: TrainingSet, tmp_path: Path) -> None:
    short = replace(CONFIG, steps=1)
    fit_autoencoder(data, NETWORK, short, seed=SEED, folder=tmp_path)
    with pytest.raises(NotResumable, match="delete it"):
        fit_autoencoder(data, replace(NETWORK, latent=5), short, seed=SEED, folder=tmp_path)


def test_training_lowers_the_loss_and_ends_in_eval_mode(data: TrainingSet) -> None:
    seen: list[StretchMetrics] = []
    network = fit_autoencoder(data, NETWORK, CONFIG, seed=SEED, on_stretch=seen.append)
    assert [(metrics.network, metrics.step) for metrics in seen] == [
        ("autoencoder", 100),
        ("autoencoder", 200),
        ("autoencoder", 210),
    ]
    assert seen[-1].loss < 0.6 * seen[0].loss
    assert not network.training


def test_pixels_that_are_not_numbers_stop_the_training(data: TrainingSet) -> None:
    broken = replace(data, x=data.x.copy())
    broken.x[:] = np.nan
    with pytest.raises(Diverged, match="learning-rate"):
        fit_autoencoder(broken, NETWORK, CONFIG, seed=SEED)


def test_a_single_slice_can_be_trained_on() -> None:
    # Drawn again and again: a batch is as large as any other.
    network = fit_autoencoder(usual_set(1), NETWORK, replace(CONFIG, steps=2), seed=SEED)
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())


def test_the_learning_rate_warms_up_then_falls_to_zero_along_a_cosine() -> None:
    config = FitConfig(steps=1060, warmup_steps=60, learning_rate=1.0)
    assert learning_rate(0, config) == pytest.approx(1 / 61)
    assert learning_rate(60, config) == pytest.approx(1.0)
    assert learning_rate(560, config) == pytest.approx(0.5)  # half way through the cosine
    assert learning_rate(310, config) == pytest.approx(0.5 + 0.5 * 0.5**0.5)  # a quarter
    assert learning_rate(1060, config) == pytest.approx(0.0)


def test_a_short_training_warms_up_for_a_tenth_of_its_steps() -> None:
    config = FitConfig(steps=20, warmup_steps=60, learning_rate=1.0)
    rates = [learning_rate(step, config) for step in range(4)]
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert rates[3] < 1


def test_augmentation_keeps_range_and_nearly_keeps_the_picture(data: TrainingSet) -> None:
    torch.manual_seed(0)
    x = torch.from_numpy(data.slices(data.train))[:, None]
    changed = augment(x, FitConfig())
    assert changed.shape == x.shape
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
    assert 0 < float((changed - x).abs().mean()) < 0.15


def test_augmentation_of_strength_zero_changes_nothing(data: TrainingSet) -> None:
    x = torch.from_numpy(data.slices(data.train))[:, None]
    same = augment(x, FitConfig(shift=0, zoom=0, gain=0))
    torch.testing.assert_close(same, x, atol=1e-5, rtol=0)


def test_a_config_that_makes_no_sense_is_refused() -> None:
    wrong: list[dict[str, Any]] = [
        {"steps": 0},
        {"anatomy_steps": 0},
        {"inspector_steps": 0},
        {"batch_size": 0},
        {"remove_percent": 60},
        {"rounds": -1},
        {"holdout_fraction": 0},
        {"policy": "wash"},
        {"folds": 1},
        {"cap": 1.0},
        {"percentile": 20},
    ]
    for given in wrong:
        with pytest.raises(ValueError, match=r"must|start at|above 0"):
            FitConfig(**given)
