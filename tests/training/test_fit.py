from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.training.small import NETWORK, QUICK, weights
from training.config import FitConfig
from training.errors import Diverged, NotResumable
from training.fit import EpochMetrics, augment, fit, learning_rate, reconstruction_errors

FloatArray = NDArray[np.float32]


def measured(history: tuple[EpochMetrics, ...]) -> list[EpochMetrics]:
    return [replace(metrics, seconds=0) for metrics in history]


def test_the_same_seed_gives_the_same_weights(usual: FloatArray) -> None:
    first, second = (fit(usual[:24], usual[24:], NETWORK, QUICK) for _ in range(2))
    assert weights(first.network) == weights(second.network)
    other = fit(usual[:24], usual[24:], NETWORK, replace(QUICK, seed=1))
    assert weights(first.network) != weights(other.network)


@pytest.mark.parametrize("killed_after", [1, 2])
def test_a_resumed_training_equals_an_uninterrupted_one(
    usual: FloatArray, tmp_path: Path, killed_after: int
) -> None:
    whole = fit(usual[:24], usual[24:], NETWORK, QUICK)
    checkpoint = tmp_path / "round0.safetensors"

    def kill(metrics: EpochMetrics) -> None:
        if metrics.epoch == killed_after + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(usual[:24], usual[24:], NETWORK, QUICK, checkpoint=checkpoint, on_epoch=kill)
    seen: list[EpochMetrics] = []
    resumed = fit(
        usual[:24], usual[24:], NETWORK, QUICK, checkpoint=checkpoint, on_epoch=seen.append
    )
    assert weights(resumed.network) == weights(whole.network)
    assert measured(resumed.history) == measured(whole.history) == measured(tuple(seen))


def test_a_finished_training_is_not_repeated(usual: FloatArray, tmp_path: Path) -> None:
    checkpoint = tmp_path / "round0.safetensors"
    first = fit(usual[:24], usual[24:], NETWORK, QUICK, checkpoint=checkpoint)
    again = fit(usual[:24], usual[24:], NETWORK, QUICK, checkpoint=checkpoint)
    assert again.history == first.history
    assert weights(again.network) == weights(first.network)
    assert [f.name for f in tmp_path.iterdir()] == ["round0.safetensors"]


def test_a_damaged_checkpoint_is_refused(usual: FloatArray, tmp_path: Path) -> None:
    checkpoint = tmp_path / "round0.safetensors"
    checkpoint.write_bytes(b"not a checkpoint")
    with pytest.raises(NotResumable, match="delete it"):
        fit(usual[:24], usual[24:], NETWORK, QUICK, checkpoint=checkpoint)


def test_training_lowers_the_error(usual: FloatArray) -> None:
    history = fit(usual[:24], usual[24:], NETWORK, replace(QUICK, epochs=30)).history
    assert history[-1].validation_mse < 0.6 * history[0].validation_mse
    assert history[-1].train_mse < 0.6 * history[0].train_mse


def test_pixels_that_are_not_numbers_stop_the_training(usual: FloatArray) -> None:
    broken = usual[:24].copy()
    broken[3] = np.nan
    with pytest.raises(Diverged, match="learning-rate"):
        fit(broken, usual[24:], NETWORK, QUICK)


def test_the_last_batch_never_holds_one_slice_alone(usual: FloatArray) -> None:
    # 25 slices in batches of 8: batch normalisation of one slice would be refused or wrong.
    fitted = fit(usual[:25], usual[25:], NETWORK, replace(QUICK, epochs=1))
    assert np.isfinite(fitted.history[0].train_mse)


def test_the_learning_rate_warms_up_then_falls_to_zero_along_a_cosine() -> None:
    config = FitConfig(epochs=103, warmup_epochs=3, learning_rate=1.0)
    assert learning_rate(0, config) == pytest.approx(0.1 / 3.1)
    assert learning_rate(3, config) == pytest.approx(1.0)
    assert learning_rate(53, config) == pytest.approx(0.5)  # half way through the cosine
    assert learning_rate(103, config) == pytest.approx(0.0)


def test_augmentation_keeps_range_and_nearly_keeps_the_picture(usual: FloatArray) -> None:
    torch.manual_seed(0)
    x = torch.from_numpy(usual)
    changed = augment(x, FitConfig())
    assert changed.shape == x.shape
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
    assert 0 < float((changed - x).abs().mean()) < 0.15


def test_augmentation_of_strength_zero_changes_nothing(usual: FloatArray) -> None:
    x = torch.from_numpy(usual)
    same = augment(x, FitConfig(shift=0, zoom=0, gain=0))
    torch.testing.assert_close(same, x, atol=1e-5, rtol=0)


def test_a_score_does_not_depend_on_the_other_slices(usual: FloatArray) -> None:
    network = fit(usual[:24], usual[24:], NETWORK, QUICK).network
    alone = np.concatenate([reconstruction_errors(network, usual[i : i + 1]) for i in range(40)])
    np.testing.assert_allclose(reconstruction_errors(network, usual), alone, rtol=1e-6)


def test_a_config_that_cannot_be_meant_is_refused() -> None:
    wrong: list[dict[str, Any]] = [
        {"epochs": 0},
        {"remove_percent": 60},
        {"rounds": -1},
        {"holdout_fraction": 0},
        {"policy": "wash"},
        {"folds": 1},
        {"cap": 1.0},
    ]
    for given in wrong:
        with pytest.raises(ValueError, match=r"must|start at|above 0"):
            FitConfig(**given)
